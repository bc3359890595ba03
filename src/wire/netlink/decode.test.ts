// Reading netlink: what was written comes back, and cut-off input gives a clear error and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIP } from '../../addr/ip.ts';
import { formatMAC } from '../../addr/mac.ts';
import { networkOf } from '../../addr/prefix.ts';
import { decodeAddress, newAddress } from './address.ts';
import { Attributes, AttributeWriter } from './attributes.ts';
import { decodeLink, newLink } from './link.ts';
import {
  decodeMessages,
  decodeStatus,
  encodeRequests,
  NetlinkFormatError,
  type NetlinkMessage,
  type NetlinkRequest,
} from './message.ts';
import { decodeNeighbour, newFdbEntry, newNeighbour } from './neighbour.ts';
import { decodeRoute, newRoute } from './route.ts';

const ip4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatIP);
const ip = fc.oneof(ip4, fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIP));
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMAC);
const name = fc.stringMatching(/^[a-z0-9-]{1,15}$/);
const index = fc.integer({ min: 1, max: 0x7fffffff });
const u32 = fc.integer({ min: 0, max: 0x7fffffff });
const cidr = fc.oneof(
  fc.tuple(ip4, fc.nat(32)).map(([each, length]) => `${each}/${length}`),
  fc.tuple(ip, fc.nat(128)).map(([each, length]) => `${each}/${each.includes(':') ? length : length % 33}`),
);

function received(request: NetlinkRequest): NetlinkMessage {
  return decodeMessages(encodeRequests([request], 1))[0]!;
}

const requests: fc.Arbitrary<NetlinkRequest> = fc.oneof(
  fc
    .tuple(name, mac, u32, ip4)
    .map(([each, address, mtu, local]) =>
      newLink(each, { kind: 'vxlan', vni: 1, local, port: 8472 }, { up: true, mac: address, mtu }),
    ),
  fc.tuple(index, cidr).map(([i, address]) => newAddress({ index: i, address, noPrefixRoute: true, protocol: 201 })),
  fc.tuple(index, ip, mac).map(([i, each, address]) => newNeighbour(i, each, address)),
  cidr.map((dst) => newRoute({ dst, type: 'unreachable', protocol: 201, table: 254, scope: 'global', metric: 1 })),
);

const DECODERS = [decodeLink, decodeAddress, decodeNeighbour, decodeRoute];

test('links, addresses, neighbours and forwarding entries come back as they were written', () => {
  fc.assert(
    fc.property(name, mac, u32, ip, fc.nat(0xffffff), fc.nat(65535), (each, address, mtu, local, vni, port) => {
      const link = decodeLink(
        received(newLink(each, { kind: 'vxlan', vni, local, port }, { up: true, mac: address, mtu })),
      );
      assert.deepEqual([link.name, link.mac, link.mtu, link.up, link.kind], [each, address, mtu, true, 'vxlan']);
      assert.deepEqual(link.vxlan, { vni, local, port, learning: false });
    }),
  );
  fc.assert(
    fc.property(index, cidr, fc.boolean(), fc.nat(255), (i, address, noPrefixRoute, protocol) => {
      const state = { index: i, address, noPrefixRoute, protocol };
      assert.deepEqual(decodeAddress(received(newAddress(state))), state);
    }),
  );
  fc.assert(
    fc.property(index, ip, mac, (i, each, address) => {
      const state = { index: i, permanent: true, fdb: false, ip: each, mac: address };
      assert.deepEqual(decodeNeighbour(received(newNeighbour(i, each, address))), state);
      assert.deepEqual(decodeNeighbour(received(newFdbEntry(i, address, each))), { ...state, fdb: true });
    }),
  );
});

test('routes come back as they were written', () => {
  fc.assert(
    fc.property(cidr, index, ip, u32, fc.boolean(), (prefix, i, via, metric, onlink) => {
      const dst = networkOf(prefix);
      const common = { dst, protocol: 201, table: 254, scope: 'global', metric } as const;
      const unicast = { ...common, type: 'unicast', index: i, via, ...(onlink && { onlink }), mtu: 1400 } as const;
      assert.deepEqual(decodeRoute(received(newRoute(unicast))), unicast);
      const unreachable = { ...common, type: 'unreachable' } as const;
      assert.deepEqual(decodeRoute(received(newRoute(unreachable))), unreachable);
    }),
  );
});

test('a message that is cut off anywhere is a NetlinkFormatError or reads as less, never anything else', () => {
  fc.assert(
    fc.property(requests, fc.nat(), fc.constantFrom(...DECODERS), (request, cut, decode) => {
      const message = received(request);
      const body = message.body.subarray(0, cut % message.body.length);
      try {
        decode({ ...message, body });
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
  );
});

test('bytes that are no netlink at all are a NetlinkFormatError or nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...DECODERS, decodeStatus), (body, decode) => {
      for (const attempt of [
        () => decodeMessages(body),
        () => decode({ type: 2, flags: 0x200, seq: 1, pid: 0, body }),
        () => new Attributes(body).check(),
      ]) {
        try {
          attempt();
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }
    }),
  );
});

test('the first complaint about an attribute is kept, also of nested ones', () => {
  const body = new AttributeWriter()
    .nested(1, (inner) => inner.u8(2, 7))
    .u32(3, 9)
    .finish();
  const attributes = new Attributes(body);
  assert.equal(attributes.nested(1)?.u32(2), undefined);
  assert.equal(attributes.u32(3), 9);
  assert.throws(() => attributes.check(), /attribute 2 has 1 bytes, not 4/);
});

test("an error tells the kernel's own words", () => {
  const text = new TextEncoder().encode('Nexthop has invalid gateway\0');
  const attribute = new AttributeWriter().bytes(1, text).finish();
  const body = new Uint8Array(20 + attribute.length);
  new DataView(body.buffer).setInt32(0, -22, true);
  body.set(attribute, 20);
  const NLM_F_CAPPED_ACK_TLVS = 0x300;
  const status = decodeStatus({ type: 2, flags: NLM_F_CAPPED_ACK_TLVS, seq: 1, pid: 0, body });
  assert.deepEqual(status, { errno: 22, text: 'Nexthop has invalid gateway' });
});
