// Leases in files: nobody's twice, nobody's for ever.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import { FileLeases, NoAddress, type Wanted } from './file-leases.ts';
import { addressRange } from './range.ts';

function inDir(work: (dir: string) => void): void {
  const dir = mkdtempSync(`${tmpdir()}/pwt-leases-`);
  try {
    work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const holder = (containerID: string) => ({ containerID, ifname: 'eth0', pod: '', netns: '' });
const wanted = (subnet: string, more: Partial<Wanted> = {}): Wanted => ({
  rangeSets: [[addressRange({ subnet })]],
  reserved: [],
  requested: [],
  ...more,
});
const SMALL = wanted('10.22.0.0/29');

test('a container gets one address of each range set, and the same ones when it asks again', () =>
  inDir((dir) => {
    const leases = new FileLeases({ dir, rest: 0 });
    const dual: Wanted = {
      ...SMALL,
      rangeSets: [[addressRange({ subnet: '10.22.0.0/24' })], [addressRange({ subnet: 'fd00:22::/64' })]],
    };
    assert.deepEqual(leases.lease(holder('a'), dual).ips, ['10.22.0.2', 'fd00:22::2']);
    assert.deepEqual(leases.lease(holder('b'), dual).ips, ['10.22.0.3', 'fd00:22::3']);
    assert.deepEqual(leases.lease(holder('a'), dual).ips, ['10.22.0.2', 'fd00:22::2']);
    assert.equal(leases.holderOf('10.22.0.3')?.containerID, 'b');
    assert.deepEqual(
      leases
        .all()
        .map(({ containerID }) => containerID)
        .sort(),
      ['a', 'b'],
    );
  }));

test('the gateway and reserved addresses are never given, and a full range says who has it', () =>
  inDir((dir) => {
    const leases = new FileLeases({ dir, rest: 0 });
    const choice = { ...SMALL, reserved: ['10.22.0.4/31'] };
    const given = ['a', 'b', 'c'].map((id) => leases.lease(holder(id), choice).ips[0]);
    assert.deepEqual(given, ['10.22.0.2', '10.22.0.3', '10.22.0.6']);
    assert.throws(() => leases.lease(holder('d'), choice), /no free address in 10\.22\.0\.1-10\.22\.0\.6: 3 are held/);
    assert.equal(leases.hasFree(choice), false);
  }));

test('a released address rests before another container gets it', () =>
  inDir((dir) => {
    let now = 1_000_000;
    const leases = new FileLeases({ dir, rest: 30_000, now: () => now });
    const one = wanted('10.22.0.0/30');
    leases.lease(holder('a'), one);
    assert.deepEqual(leases.release(holder('a')), ['10.22.0.2']);
    assert.deepEqual(leases.resting(), [{ ip: '10.22.0.2', since: now }]);
    now += 10_000;
    assert.throws(
      () => leases.lease(holder('b'), one),
      (error: NoAddress) => error.later === 20_000 && /rested enough in 20 s/.test(error.message),
    );
    now += 20_000;
    assert.deepEqual(leases.lease(holder('b'), one).ips, ['10.22.0.2']);
  }));

test('an address that is asked for by name does not rest: its container is started again, or replaced', () =>
  inDir((dir) => {
    const leases = new FileLeases({ dir, rest: 30_000 });
    const fixed = { ...SMALL, requested: ['10.22.0.5'] };
    for (const id of ['a', 'a', 'b']) {
      assert.deepEqual(leases.lease(holder(id), fixed).ips, ['10.22.0.5']);
      leases.release(holder(id));
    }
    assert.notDeepEqual(leases.lease(holder('c'), SMALL).ips, ['10.22.0.5']);
    leases.lease(holder('d'), fixed);
    assert.deepEqual(leases.resting(), []);
  }));

test('leases of an earlier boot are nobody’s', () =>
  inDir((dir) => {
    new FileLeases({ dir, rest: 30_000, bootId: 'one' }).lease(holder('a'), SMALL);
    const leases = new FileLeases({ dir, rest: 30_000, bootId: 'two' });
    assert.deepEqual(leases.all(), []);
    assert.equal(leases.get(holder('a')), undefined);
    assert.deepEqual(leases.lease(holder('b'), SMALL).ips, ['10.22.0.2']);
    assert.deepEqual(
      leases.all().map(({ containerID }) => containerID),
      ['b'],
    );
  }));

test('two programs that work on the same files see each other’s leases', () =>
  inDir((dir) => {
    const [one, other] = [new FileLeases({ dir, rest: 30_000 }), new FileLeases({ dir, rest: 30_000 })];
    assert.deepEqual(one.lease(holder('a'), SMALL).ips, ['10.22.0.2']);
    assert.deepEqual(other.lease(holder('b'), SMALL).ips, ['10.22.0.3']);
    assert.deepEqual(other.release(holder('a')), ['10.22.0.2']);
    assert.equal(one.get(holder('a')), undefined);
    assert.deepEqual(one.release(holder('a')), []);
    assert.deepEqual(
      one.resting().map(({ ip }) => ip),
      ['10.22.0.2'],
    );
    assert.deepEqual(one.lease(holder('a'), SMALL).ips, ['10.22.0.4']);
  }));

test('a requested address is had or refused with the reason', () =>
  inDir((dir) => {
    const leases = new FileLeases({ dir, rest: 0 });
    const asking = (...requested: string[]) => ({ ...SMALL, requested });
    assert.deepEqual(leases.lease(holder('a'), asking('10.22.0.5')).ips, ['10.22.0.5']);
    assert.throws(() => leases.lease(holder('b'), asking('10.22.0.5')), /10\.22\.0\.5 is held by container a/);
    assert.throws(() => leases.lease(holder('b'), asking('10.22.0.1')), /is the gateway's/);
    assert.throws(() => leases.lease(holder('b'), asking('10.9.0.1')), /10\.9\.0\.1 is in no range/);
    assert.throws(() => leases.lease(holder('b'), asking('10.22.0.2', '10.22.0.3')), NoAddress);
    assert.deepEqual(leases.all().length, 1);
    assert.deepEqual(leases.lease(holder('b'), SMALL).ips, ['10.22.0.2']);
  }));

test('collecting releases what is not kept, and forgets what has rested', () =>
  inDir((dir) => {
    let now = 1000;
    const leases = new FileLeases({ dir, rest: 10, now: () => now });
    for (const id of ['a', 'b', 'c']) leases.lease(holder(id), SMALL);
    const gone = leases.collect(({ containerID }) => containerID === 'b');
    assert.deepEqual(gone.map(({ containerID }) => containerID).sort(), ['a', 'c']);
    assert.equal(leases.resting().length, 2);
    now += 10;
    leases.collect(() => true);
    now = 1000;
    assert.equal(leases.resting().length, 0);
    assert.deepEqual(
      leases.all().map(({ containerID }) => containerID),
      ['b'],
    );
  }));

test('no address is held twice, whatever is leased and released', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(8)), { maxLength: 40 }), (steps) =>
      inDir((dir) => {
        const leases = new FileLeases({ dir, rest: 0 });
        for (const [take, n] of steps) {
          if (!take) leases.release(holder(`c${n}`));
          else if (leases.get(holder(`c${n}`)) || leases.hasFree(SMALL)) leases.lease(holder(`c${n}`), SMALL);
          else assert.throws(() => leases.lease(holder(`c${n}`), SMALL), NoAddress);
          const held = leases.all().flatMap(({ ips }) => ips);
          assert.equal(new Set(held).size, held.length);
        }
      }),
    ),
    { numRuns: 30 },
  );
});

test('ranges have host-local’s defaults and refuse what does not fit', () => {
  assert.deepEqual(addressRange({ subnet: '10.22.3.4/24' }), {
    subnet: '10.22.3.0/24',
    first: '10.22.3.1',
    last: '10.22.3.254',
    gateway: '10.22.3.1',
  });
  assert.equal(addressRange({ subnet: 'fd00::/64' }).last, 'fd00::ffff:ffff:ffff:ffff');
  assert.throws(() => addressRange({ subnet: '10.0.0.0/31' }), /too small/);
  assert.throws(
    () => addressRange({ subnet: '10.0.0.0/24', rangeStart: '10.0.1.1' }),
    /rangeStart: 10\.0\.1\.1 is not/,
  );
  assert.throws(
    () => addressRange({ subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: '10.0.0.8' }),
    /rangeStart: 10\.0\.0\.9 is behind rangeEnd/,
  );
});
