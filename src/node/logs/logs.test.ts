// Room node: logs as kubectl shows them.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { LogFormatter } from './cri-log.ts';
import { type ReadLogOptions, readLog } from './log-reader.ts';

const LOG = [
  '2026-01-01T00:00:01.100000000+00:00 stdout F one',
  '2026-01-01T00:00:02.200000000+00:00 stderr F two',
  '2026-01-01T00:00:03.300000000+00:00 stdout P thr',
  '2026-01-01T00:00:03.400000000+00:00 stdout F ee',
  '2026-01-01T00:00:04.400000000+00:00 stdout F ',
  '2026-01-01T00:00:05.500000000+00:00 stdout F five  5',
  '',
].join('\n');

const dir = mkdtempSync(join(tmpdir(), 'podwire-logs-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const path = join(dir, '0.log');
writeFileSync(path, LOG);

async function read(options: Partial<ReadLogOptions>, file = path): Promise<string> {
  let text = '';
  for await (const chunk of readLog(file, { timestamps: false, ...options })) text += chunk;
  return text;
}

describe('a log', () => {
  const cases: Record<string, [options: Partial<ReadLogOptions>, expected: string]> = {
    'joins what was said in parts': [{}, 'one\ntwo\nthree\n\nfive  5\n'],
    'from its end': [{ tailLines: 2 }, '\nfive  5\n'],
    'from its end, a line in parts counting once': [{ tailLines: 3 }, 'three\n\nfive  5\n'],
    'of more lines than there are': [{ tailLines: 99 }, 'one\ntwo\nthree\n\nfive  5\n'],
    'of no lines': [{ tailLines: 0 }, ''],
    'since a time': [{ since: Date.parse('2026-01-01T00:00:04Z') }, '\nfive  5\n'],
    'up to a number of bytes': [{ limitBytes: 6 }, 'one\ntw'],
    'with times': [
      { timestamps: true, tailLines: 3 },
      '2026-01-01T00:00:03.300000000Z three\n2026-01-01T00:00:04.400000000Z \n2026-01-01T00:00:05.500000000Z five  5\n',
    ],
  };
  for (const [name, [options, expected]] of Object.entries(cases)) {
    it(name, async () => assert.equal(await read(options), expected));
  }

  it('reads the same whatever the pieces', () => {
    for (const size of [1, 2, 7, 64]) {
      const formatter = new LogFormatter({ timestamps: false });
      let text = '';
      for (let i = 0; i < LOG.length; i += size) text += formatter.push(Buffer.from(LOG.slice(i, i + size)));
      assert.equal(text, 'one\ntwo\nthree\n\nfive  5\n');
    }
  });

  it('finds the end of a long file', async () => {
    const long = join(dir, 'long.log');
    const line = (i: number) => `2026-01-01T00:00:00.000000000+00:00 stdout F line ${i} ${'x'.repeat(i % 300)}\n`;
    writeFileSync(long, Array.from({ length: 5000 }, (_, i) => line(i)).join(''));
    for (const tailLines of [1, 10, 400, 2000]) {
      const lines = (await read({ tailLines }, long)).trimEnd().split('\n');
      assert.equal(lines.length, tailLines);
      assert.match(lines[0]!, new RegExp(`^line ${5000 - tailLines} `));
    }
  });

  it('is followed until the container has ended, to its last line', async () => {
    const growing = join(dir, 'growing.log');
    writeFileSync(growing, LOG);
    const ended = new AbortController();
    const log = readLog(growing, { timestamps: false, tailLines: 1, follow: ended.signal });
    assert.equal(String((await log.next()).value), 'five  5\n');
    const more = log.next();
    appendFileSync(growing, '2026-01-01T00:00:06.000000000+00:00 stdout F six\n');
    assert.equal(String((await more).value), 'six\n');
    appendFileSync(growing, '2026-01-01T00:00:07.000000000+00:00 stdout F seven\n');
    ended.abort();
    assert.equal(String((await log.next()).value), 'seven\n');
    assert.equal((await log.next()).done, true);
  });
});
