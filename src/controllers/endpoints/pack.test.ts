// Room controllers: endpoints packed into slices: all of them, once each, with little change.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndpointSlice } from '../../objects/types.ts';
import type { Endpoint, PortGroup } from './endpoint.ts';
import { type Packing, packSlices } from './pack.ts';

const LIMIT = 5;

function endpoint(n: number, ready = true): Endpoint {
  return {
    addresses: [`10.244.0.${n}`],
    conditions: { ready },
    targetRef: { kind: 'Pod', name: `p${n}`, uid: `u${n}` },
  };
}

function group(port: number, numbers: readonly number[]): PortGroup {
  const ports = [{ name: 'http', port, protocol: 'TCP' }];
  return { addressType: 'IPv4', ports, endpoints: numbers.map((n) => endpoint(n)) };
}

let serial = 0;

/** What the API server would hold after the packing was written. */
function stored({ slices }: Packing): EndpointSlice[] {
  return slices.map(({ slice, addressType, ports, endpoints }) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: slice?.metadata ?? {
      name: `s${++serial}`,
      uid: `${serial}`,
      resourceVersion: '1',
      creationTimestamp: '',
    },
    addressType,
    ports: [...ports],
    endpoints: [...endpoints],
  }));
}

const touched = ({ slices, remove }: Packing) => slices.filter(({ changed }) => changed).length + remove.length;

/** Ten pods at most of each of two ports, by number. */
const world = fc.tuple(fc.uniqueArray(fc.nat(40)), fc.uniqueArray(fc.integer({ min: 50, max: 80 })));
const groupsOf = ([first, second]: readonly [number[], number[]]) =>
  [group(80, first), group(90, second)].filter(({ endpoints }) => endpoints.length > 0);

test('every endpoint is in exactly one slice of its ports, no slice is too full, and packing again changes nothing', () => {
  fc.assert(
    fc.property(fc.array(world, { maxLength: 6 }), (history) => {
      let slices: EndpointSlice[] = [];
      for (const moment of history) {
        slices = stored(packSlices(slices, groupsOf(moment), LIMIT));
        const held = slices.flatMap(({ ports, endpoints = [] }) =>
          endpoints.map((e) => `${ports![0]!.port} ${e.addresses[0]}`),
        );
        const wanted = groupsOf(moment).flatMap(({ ports, endpoints }) =>
          endpoints.map((e) => `${ports[0]!.port} ${e.addresses[0]}`),
        );
        assert.deepEqual(held.sort(), wanted.sort());
        assert.ok(slices.every(({ endpoints = [] }) => endpoints.length > 0 && endpoints.length <= LIMIT));
        assert.equal(touched(packSlices(slices, groupsOf(moment), LIMIT)), 0);
      }
    }),
  );
});

test('one endpoint more, less or different writes one slice', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(100), { minLength: 2, maxLength: 60 }), fc.nat(), (numbers, pick) => {
      const slices = stored(packSlices([], [group(80, numbers)], LIMIT));
      const victim = numbers[pick % numbers.length]!;
      const less = packSlices(
        slices,
        [
          group(
            80,
            numbers.filter((n) => n !== victim),
          ),
        ],
        LIMIT,
      );
      assert.equal(touched(less), 1);
      const more = packSlices(slices, [group(80, [...numbers, 200])], LIMIT);
      assert.equal(touched(more), 1);
      const unready = group(80, numbers);
      const endpoints = unready.endpoints.map((e) => (e.targetRef!.uid === `u${victim}` ? endpoint(victim, false) : e));
      assert.equal(touched(packSlices(slices, [{ ...unready, endpoints }], LIMIT)), 1);
    }),
  );
});

test('a Service without endpoints has one empty slice, which the first endpoint takes over', () => {
  const none: PortGroup = { addressType: 'IPv4', ports: [], endpoints: [] };
  const empty = stored(packSlices([], [none], LIMIT));
  assert.equal(empty.length, 1);
  assert.equal(touched(packSlices(empty, [none], LIMIT)), 0);
  const filled = packSlices(empty, [group(80, [1])], LIMIT);
  assert.equal(filled.slices[0]!.slice, empty[0]);
  assert.deepEqual(filled.remove, []);
  const again = packSlices(stored(filled), [none], LIMIT);
  assert.equal(again.slices[0]!.slice!.metadata.uid, empty[0]!.metadata.uid);
  assert.deepEqual([again.slices.length, again.remove.length, again.slices[0]!.changed], [1, 0, true]);
});

test('families never share a slice', () => {
  const v6: PortGroup = { ...group(80, []), addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] };
  const slices = stored(packSlices([], [group(80, [1]), v6], LIMIT));
  assert.deepEqual(
    slices.map(({ addressType }) => addressType),
    ['IPv4', 'IPv6'],
  );
  const only = packSlices(slices, [v6], LIMIT);
  assert.deepEqual([only.remove.map(({ addressType }) => addressType), only.slices[0]!.changed], [['IPv4'], false]);
});
