// Room cluster: files that the user names: their text, and what is wrong with them, in words.
import { readFileSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'it is not yours to read',
};

/** Throws a Fault that names the file. */
export function readUserFile(file: string, exitCode = 1): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw new Fault(`${file} cannot be read: ${WORDS[code] ?? message}`, { cause, exitCode });
  }
}

/** Its first line: the others draw the place. */
export function yamlProblem({ message }: Error): string {
  return message.split('\n')[0]!.replace(/:$/, '');
}
