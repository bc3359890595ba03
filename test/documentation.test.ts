// What the documents and the help tell people to type is what the command line takes: every `podwire …` in README.md, CONTRIBUTING.md, docs/ and
// in the help's own examples, its words, flags and arguments.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { program } from '../src/cli/main.ts';

const ROOT = join(import.meta.dirname, '..');
const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs')).map((file) => join('docs', file)),
];

interface Typed {
  readonly words: readonly string[];
  /** Not to be typed as it stands: arguments may lack. */
  readonly isSketch: boolean;
}

/** Parses, and does nothing. */
function silenced(command: Command): Command {
  command.configureOutput({ writeErr: () => {}, writeOut: () => {}, outputError: () => {} });
  // Those with flags of their own do something by themselves, `podwire lb` among them.
  const acts = command.commands.length === 0 || (command.parent !== null && command.options.length > 0);
  if (acts) command.action(() => {});
  command.commands.forEach(silenced);
  return command;
}

/** What is wrong with it; undefined: nothing. */
function problemOf({ words, isSketch }: Typed): string | undefined {
  try {
    silenced(program()).parse([...words], { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const { code, exitCode, message } = error;
    if (exitCode === 0 || code === 'commander.help') return undefined;
    return isSketch && code === 'commander.missingArgument' ? undefined : message;
  }
}

/** Behind a prompt, `sudo`, `$(` and the like, with a folder before it or not. */
const PROGRAM = /(?:^|\$\(|&&|;)\s*(?:\$ |- run: )?(?:sudo )?(?:[\w./]*\/)?podwire (.*)/;

/** `podwire node add | rm` are two. What a shell makes of the rest is not ours. */
function typedIn(text: string, isInline = false): Typed[] {
  const [, line] = PROGRAM.exec(text) ?? [];
  if (line === undefined) return [];
  const plain = line
    .replace(/\s#.*/, '')
    .replace(/ (?:&&|>|2>).*/, '')
    .replace(/\).*$/, '');
  const isSketch = isInline || /[[\]…]| \| /.test(plain);
  const [first = '', ...others] = plain.replace(/[[\]…]/g, ' ').split(' | ');
  const words = wordsOf(first);
  const verbs = words.length > 2 ? [] : others.map((other) => wordsOf(other)[0] ?? '');
  return [{ words, isSketch }, ...verbs.map((verb) => ({ words: [...words.slice(0, -1), verb], isSketch: true }))];
}

/** NAME, FILE and the like stand for a word of the user's own. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) =>
    (a ?? b ?? c ?? '').replace(/^[A-Z]+$/, (word) => word.toLowerCase()),
  );
}

/** Lines of blocks of shell, and inline code that begins with the program. */
function typedOf(document: string): { readonly at: number; readonly typed: Typed }[] {
  let block: string | undefined;
  return readFileSync(join(ROOT, document), 'utf8')
    .split('\n')
    .flatMap((line, i) => {
      const [, fence] = /^\s*```(\w*)/.exec(line) ?? [];
      if (fence !== undefined) {
        block = block === undefined ? fence : undefined;
        return [];
      }
      const isShell = block === 'sh' || block === 'yaml' || line.startsWith('$ ');
      const inline = block === undefined ? [...line.matchAll(/`([^`]+)`/g)].map(([, text]) => text!) : [];
      const typed = [...(isShell ? typedIn(line) : []), ...inline.flatMap((text) => typedIn(text, true))];
      return typed.map((each) => ({ at: i + 1, typed: each }));
    });
}

for (const document of DOCUMENTS) {
  test(`what ${document} tells people to type is there`, () => {
    const wrong = typedOf(document).flatMap(({ at, typed }) => {
      const problem = problemOf(typed);
      return problem === undefined ? [] : [`${document}:${at}: podwire ${typed.words.join(' ')}: ${problem}`];
    });
    assert.deepEqual(wrong, []);
  });
}

/** Of kubectl, podman, ctr, npx, dig and agnhost. */
const OTHERS = [
  '--cni',
  '--dry-run',
  '--field-selector',
  '--http-port',
  '--ip',
  '--mac-address',
  '--net',
  '--rm',
  '--rootfs',
  '--timeout',
  '--write',
];

function flagsOf(command: Command): string[] {
  return [...command.options.map(({ long }) => long ?? ''), ...command.commands.flatMap(flagsOf)];
}

test('every flag of which the documents speak is there', () => {
  const known = new Set([...flagsOf(program()), '--help', ...OTHERS]);
  for (const document of DOCUMENTS) {
    const flags = readFileSync(join(ROOT, document), 'utf8').matchAll(/(?<![\w-])--[a-z][a-z-]+/g);
    const unknown = [...flags].map(([flag]) => flag).filter((flag) => !known.has(flag));
    assert.deepEqual(unknown, [], document);
  }
});

test('the documents tell people to type something', () => {
  const all = DOCUMENTS.flatMap(typedOf);
  assert.ok(all.length > 100, String(all.length));
});

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

test('each command has an example in its help, and it can be typed', () => {
  for (const command of leavesOf(program())) {
    const [, example] = /\nExample:\n {2}(.+)\n/.exec(helpOf(command)) ?? [];
    assert.ok(example !== undefined, command.name());
    for (const typed of typedIn(example)) assert.equal(problemOf(typed), undefined, example);
  }
});
