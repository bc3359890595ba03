// What was found out about the kernel is asked once a boot, and whatever is wrong with the file only costs asking again.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FastPathAnswer, probeFastPath } from '../kernel/fast-path.ts';
import { askFastPath, askSwitch, forgetKernel } from './known-kernel.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const folder = mkdtempSync(join(tmpdir(), 'pwt-known-'));
after(() => rmSync(folder, { recursive: true }));

/** A file of this boot with its answer changed so that nobody can take it for the kernel's own. */
function marked(name: string, change: (known: { whose: string; fastPath: { answer: object } }) => object): string {
  const file = join(folder, name);
  rmSync(file, { force: true });
  askFastPath(file);
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')))));
  return file;
}

test('the second start has the answer without asking, and it is the same', { skip }, () => {
  const file = join(folder, 'once.json');
  const asked = askFastPath(file);
  assert.deepEqual(asked, probeFastPath());
  if ('missing' in asked && !asked.lasting) return;
  assert.deepEqual(askFastPath(file), asked);
  const lacking: FastPathAnswer = { missing: 'what nobody else says', lasting: true };
  const kept = marked('kept.json', (known) => ({ ...known, fastPath: { answer: lacking } }));
  assert.deepEqual(askFastPath(kept), lacking);
});

test('what fails for now is not kept', { skip }, () => {
  const file = marked('now.json', (known) => ({ ...known, fastPath: { answer: { missing: 'x', lasting: false } } }));
  assert.deepEqual(askFastPath(file), probeFastPath());
});

test('an answer for others, of other programs, with other numbers, or damaged is asked for again', {
  skip,
}, () => {
  const asked = probeFastPath();
  const files = {
    others: marked('others.json', (known) => ({
      ...known,
      whose: 'x',
      fastPath: { answer: { missing: 'x', lasting: true } },
    })),
    half: marked('half.json', ({ whose }) => ({ whose, fastPath: {} })),
    null: marked('null.json', ({ whose }) => ({ whose, fastPath: null })),
    programs: marked('programs.json', (known) => ({ ...known, fastPath: { ...known.fastPath, digest: '00' } })),
    numbers: marked('numbers.json', (known) => {
      const { answer } = known.fastPath;
      const numbers = 'numbers' in answer ? { ...(answer.numbers as object), lookup: 1 } : {};
      return { ...known, fastPath: { ...known.fastPath, answer: { numbers } } };
    }),
  };
  for (const [what, file] of Object.entries(files)) assert.deepEqual(askFastPath(file), asked, what);
  for (const text of ['', '{', 'null', '[]', '7', '\0\0']) {
    writeFileSync(files.half, text);
    assert.deepEqual(askFastPath(files.half), asked, JSON.stringify(text));
  }
});

test('nothing is kept where there is no place for it, and it can be forgotten', { skip }, () => {
  const asked = probeFastPath();
  assert.deepEqual(askFastPath(undefined), asked);
  assert.deepEqual(askFastPath(join(folder, 'nowhere', 'kernel.json')), asked);
  const file = marked('forgotten.json', (known) => ({
    ...known,
    fastPath: { answer: { missing: 'x', lasting: true } },
  }));
  forgetKernel(file);
  forgetKernel(file);
  assert.deepEqual(askFastPath(file), asked);
});

test('whoever may do less than the one who asked is not told the same', { skip }, () => {
  const file = join(folder, 'lost.json');
  const module = new URL('known-kernel.ts', import.meta.url).href;
  const ask = `const { askFastPath } = await import('${module}'); console.log(JSON.stringify(askFastPath('${file}')))`;
  const lost = '-bpf,-sys_admin,-perfmon';
  const node = [process.execPath, '--input-type=module', '-e', ask];
  const told = (...before: string[]) => {
    const [program, ...words] = [...before, ...node] as [string, ...string[]];
    const { stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' });
    assert.equal(stderr, '');
    return JSON.parse(stdout) as FastPathAnswer;
  };
  assert.deepEqual(told(), probeFastPath());
  assert.ok('missing' in told('setpriv', `--bounding-set=${lost}`, `--inh-caps=${lost}`));
  assert.deepEqual(told(), probeFastPath());
});

test('the program between the nodes is remembered beside the fast path', { skip }, () => {
  const file = join(folder, 'switch.json');
  const [asked, taken] = [askFastPath(file), askSwitch(file)];
  assert.equal(askSwitch(file), taken);
  assert.deepEqual(askFastPath(file), asked);
});
