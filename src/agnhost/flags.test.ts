// Tests of agnhost: flags and durations as Go reads them.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseDuration, parseFlags } from './flags.ts';
import { splitHostPort } from './resolve.ts';
import { goJson, hostPort } from './words.ts';

const defaults = { port: 80, name: 'x', on: false, off: true };

it('flags come with an equals sign or a space, switches alone, arguments between them', () => {
  const { flags, rest } = parseFlags(['a', '--port=1', '--name', 'y', 'b', '--on', '--off=false'], defaults);
  assert.deepEqual(flags, { port: 1, name: 'y', on: true, off: false });
  assert.deepEqual(rest, ['a', 'b']);
  assert.deepEqual(parseFlags([], defaults).flags, defaults);
  assert.equal(parseFlags(['--port', '-1'], defaults).flags.port, -1);
});

it('unknown, unfinished and mistyped flags are refused', () => {
  assert.throws(() => parseFlags(['--nope'], defaults), /unknown flag: --nope/);
  assert.throws(() => parseFlags(['--name'], defaults), /flag needs an argument: --name/);
  assert.throws(() => parseFlags(['--port=x'], defaults), /invalid argument "x" for "--port" flag/);
});

for (const [text, milliseconds] of [
  ['0', 0],
  ['3s', 3000],
  ['1m30s', 90_000],
  ['100ms', 100],
  ['1.5h', 5_400_000],
  ['3', undefined],
  ['', undefined],
  ['s', undefined],
] as const) {
  it(`the duration ${JSON.stringify(text)} is ${milliseconds} ms`, () =>
    assert.equal(parseDuration(text), milliseconds));
}

it('destinations have a host and a port', () => {
  assert.deepEqual(splitHostPort('[fd00::1]:80'), { host: 'fd00::1', port: '80' });
  assert.deepEqual(splitHostPort(':80'), { host: '', port: '80' });
  assert.throws(() => splitHostPort('host'), /address host: missing port in address/);
  assert.throws(() => splitHostPort('fd00::1:80'), /address fd00::1:80: too many colons in address/);
});

it('addresses and JSON look as Go writes them', () => {
  assert.equal(hostPort('::ffff:10.0.0.1', 80), '10.0.0.1:80');
  assert.equal(hostPort('fd00::1', 80), '[fd00::1]:80');
  assert.equal(goJson({ a: '<&>' }), '{"a":"\\u003c\\u0026\\u003e"}');
});
