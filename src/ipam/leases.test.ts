// Leases over restarts, and addresses over their whole round.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Lease, Leases, leasesAt } from './leases.ts';
import { AddressPool } from './pool.ts';

function inDir(work: (dir: string) => void): void {
  const dir = mkdtempSync(`${tmpdir()}/pwt-ipam-`);
  try {
    work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const cidrs = ['10.244.0.0/24', 'fd00:10:244::/64'];
const open = (dir: string, bootId = 'boot-1') => new Leases({ path: `${dir}/leases.jsonl`, cidrs, bootId });
const ids = (leases: readonly Lease[]) => leases.map(({ sandboxId }) => sandboxId);

test('a sandbox gets one address of each family, and the same ones when it asks again', () =>
  inDir((dir) => {
    const leases = open(dir);
    assert.deepEqual(leases.lease('a', 'default/a').ips, ['10.244.0.1', 'fd00:10:244::1']);
    assert.deepEqual(leases.lease('b', 'default/b').ips, ['10.244.0.2', 'fd00:10:244::2']);
    assert.deepEqual(leases.lease('a', 'default/a').ips, ['10.244.0.1', 'fd00:10:244::1']);
  }));

test('leases outlive a restart, and new ones go on behind them', () =>
  inDir((dir) => {
    const before = open(dir);
    before.lease('a', 'default/a');
    before.lease('b', 'default/b');
    before.release('a');
    const after = open(dir);
    assert.deepEqual(
      after.all().map((lease) => lease.sandboxId),
      ['b'],
    );
    assert.deepEqual(after.lease('b', 'default/b').ips[0], '10.244.0.2');
    assert.equal(after.lease('c', 'default/c').ips[0], '10.244.0.3');
  }));

test('leases of an earlier boot and of foreign prefixes are dropped', () =>
  inDir((dir) => {
    const path = `${dir}/leases.jsonl`;
    const elsewhere = new Leases({ path, cidrs: ['10.9.0.0/24', 'fd00::/64'], bootId: 'boot-1' });
    elsewhere.lease('c', 'x/y');
    open(dir).lease('a', 'default/a');
    assert.deepEqual(ids(open(dir).all()), ['a']);
    assert.deepEqual(open(dir, 'boot-2').all(), []);
    assert.deepEqual(ids(open(dir).all()), ['a'], 'nobody has written since');
    open(dir, 'boot-2').lease('b', 'default/b');
    assert.deepEqual(open(dir).all(), []);
    assert.deepEqual(leasesAt(path), [], 'of this boot');
  }));

test('a sandbox whose lease was lost keeps the addresses that it is known to have, unless they are taken', () =>
  inDir((dir) => {
    const leases = open(dir);
    const earlier = ['10.244.0.9', 'fd00:10:244::9'];
    assert.deepEqual(leases.lease('a', 'default/a', earlier).ips, earlier);
    assert.deepEqual(leases.lease('b', 'default/b', earlier).ips, ['10.244.0.10', 'fd00:10:244::a']);
    assert.deepEqual(leases.lease('c', 'default/c', ['192.0.2.1']).ips, ['10.244.0.11', 'fd00:10:244::b']);
  }));

test('a released address is the last to be given again', () => {
  const pool = new AddressPool('10.244.0.0/29');
  const all = Array.from({ length: 6 }, () => pool.next());
  assert.deepEqual(
    all,
    [1, 2, 3, 4, 5, 6].map((n) => `10.244.0.${n}`),
  );
  assert.throws(() => pool.next(), /no free address in 10\.244\.0\.0\/29: 6 pods have one/);
  pool.give('10.244.0.4');
  pool.give('10.244.0.2');
  assert.deepEqual([pool.next(), pool.next()], ['10.244.0.4', '10.244.0.2']);
});

test('no address is ever given twice, whatever is taken and given back', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant('next'), fc.nat(20)), { maxLength: 200 }), (steps) => {
      const pool = new AddressPool('10.244.0.0/28');
      const held: string[] = [];
      for (const step of steps) {
        if (step !== 'next') {
          const [ip] = held.splice(Number(step) % (held.length || 1), 1);
          if (ip) pool.give(ip);
        } else if (held.length < 14) {
          const ip = pool.next();
          assert.ok(!held.includes(ip));
          held.push(ip);
        } else assert.throws(() => pool.next());
      }
    }),
  );
});

test('a released address is kept from others for as long as it rests, also by an agent that is started again', () =>
  inDir((dir) => {
    let now = 1_000_000;
    const again = () =>
      new Leases({
        path: `${dir}/leases.jsonl`,
        cidrs: ['10.244.0.0/30'],
        restSeconds: 60,
        bootId: 'boot-1',
        now: () => now,
      });
    const first = again();
    assert.deepEqual(first.lease('a', 'default/a').ips, ['10.244.0.1']);
    first.release('a');
    assert.deepEqual(again().lease('b', 'default/b').ips, ['10.244.0.2'], 'the one that does not rest');
    now += 59_000;
    const second = again();
    assert.throws(() => second.lease('c', 'default/c'), /1 pods have one, and the next one rests for another 1 s/);
    assert.deepEqual(second.lease('a', 'default/a', ['10.244.0.1']).ips, ['10.244.0.1'], 'its own it may have again');
    second.release('a');
    now += 60_000;
    assert.deepEqual(second.lease('c', 'default/c').ips, ['10.244.0.1']);
    second.release('b');
    now += 60_000;
    assert.deepEqual(again().lease('d', 'default/d').ips, ['10.244.0.2'], 'what has rested is free');
  }));

test('a clock that goes back makes no address rest longer than it should', () => {
  const pool = new AddressPool('10.244.0.0/30', 5000);
  const ips = [pool.next(9000), pool.next(9000)];
  for (const ip of ips) pool.give(ip, 9_000_000);
  assert.throws(() => pool.next(10_000), /rests for another 5 s/);
  assert.equal(pool.next(9_005_000), ips[0]);
});
