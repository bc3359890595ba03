// Addresses and prefixes against ipaddr.js.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { AddressError, bigIntToIP, formatIP, ipBytes, ipToBigInt, isIP, parseIP } from './ip.ts';
import { formatMAC, macBytes, macFromIP } from './mac.ts';
import {
  hostPrefix,
  indexInPrefix,
  networkOf,
  nthAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  prefixSize,
  subPrefix,
} from './prefix.ts';

const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
const prefix = fc
  .tuple(bytes, fc.nat(128))
  .map(([each, length]) => `${formatIP(each)}/${length % (each.length * 8 + 1)}`);

test('addresses are written as RFC 5952 wants and read back', () => {
  fc.assert(
    fc.property(bytes, (each) => {
      const text = formatIP(each);
      assert.equal(text, ipaddr.fromByteArray([...each]).toString());
      assert.deepEqual(ipBytes(text), each);
      assert.equal(bigIntToIP(ipToBigInt(text), each.length === 4 ? 4 : 6), text);
    }),
  );
});

test('IPv6 is read in every form that it may be written in', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (each) => {
      const parsed = new ipaddr.IPv6([...each]);
      for (const text of [parsed.toNormalizedString(), parsed.toRFC5952String(), parsed.toString().toUpperCase()]) {
        assert.deepEqual(parseIP(text), each);
      }
    }),
  );
  assert.equal(formatIP(ipBytes('::ffff:10.244.0.7')), '::ffff:af4:7');
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4 ',
    ':::',
    '1::2::3',
    'g::',
    '12345::',
  ]) {
    assert.equal(isIP(text), false, text);
    assert.throws(() => ipBytes(text), AddressError);
  }
  for (const text of ['1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9', '::1.2.3'])
    assert.equal(isIP(text), false, text);
});

test('containment agrees with ipaddr.js', () => {
  fc.assert(
    fc.property(prefix, bytes, (cidr, each) => {
      const address = ipaddr.fromByteArray([...each]);
      const [network, length] = ipaddr.parseCIDR(cidr);
      const expected = network.kind() === address.kind() && address.match(network, length);
      assert.equal(prefixContains(cidr, formatIP(each)), expected);
    }),
  );
});

test('the n-th address and its place in the prefix are each other’s inverse', () => {
  fc.assert(
    fc.property(prefix, fc.bigInt({ min: 0n, max: 1n << 128n }), (cidr, n) => {
      const place = n % prefixSize(cidr);
      assert.equal(indexInPrefix(cidr, nthAddress(cidr, place)), place);
      assert.equal(networkOf(cidr).split('/')[0], nthAddress(cidr, 0));
      assert.ok(prefixesOverlap(cidr, hostPrefix(nthAddress(cidr, place))));
    }),
  );
});

test('sub-prefixes stand side by side', () => {
  assert.equal(subPrefix('10.244.0.0/16', 24, 2), '10.244.2.0/24');
  assert.equal(subPrefix('fd00:10:244::/56', 64, 3), 'fd00:10:244:3::/64');
  assert.equal(prefixesOverlap('10.244.1.0/24', '10.244.2.0/24'), false);
  assert.throws(() => subPrefix('10.244.0.0/16', 24, 256), AddressError);
  assert.throws(() => subPrefix('10.244.0.0/16', 8, 0), AddressError);
  assert.throws(() => nthAddress('10.0.0.0/30', 4), AddressError);
});

test('a prefix needs an address and a length that fits', () => {
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', 'fd00::/129', '/8', 'x/8']) {
    assert.throws(() => parsePrefix(text), AddressError, text);
  }
});

test('a MAC from an IP is locally administered, unicast, and tells neighbours apart', () => {
  assert.equal(macFromIP('172.30.0.11', 0x76), '02:76:ac:1e:00:0b');
  assert.notEqual(macFromIP('fd00::1', 0x76), macFromIP('fd00::2', 0x76));
  assert.deepEqual(macBytes(formatMAC(Uint8Array.of(2, 0x76, 1, 2, 3, 4))), Uint8Array.of(2, 0x76, 1, 2, 3, 4));
  assert.throws(() => macBytes('02:76'), AddressError);
});
