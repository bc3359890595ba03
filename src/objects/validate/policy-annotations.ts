// Room objects: our annotations on policies: a word that is not known would leave a policy in force that was meant for a dry run.
import type { ObjectMeta } from '../types.ts';
import { type Causes, checkOptionalOneOf } from './causes.ts';

const WORDS: Readonly<Record<string, readonly string[]>> = {
  'podwire.io/mode': ['enforced', 'staged'],
  'podwire.io/log': ['allowed', 'none'],
};

export function checkPolicyAnnotations(causes: Causes, { annotations = {} }: ObjectMeta): void {
  for (const [name, words] of Object.entries(WORDS)) {
    checkOptionalOneOf(causes, `metadata.annotations[${name}]`, annotations[name], words);
  }
}
