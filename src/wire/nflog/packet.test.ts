// Logged packets: whatever the bytes are, they are read or not, and never anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { decodeLoggedPacket } from './packet.ts';

function logged(payload: Uint8Array): Uint8Array {
  const w = new NfnetlinkWriter(0);
  w.begin(0x400, 0, 2);
  w.string(10, 'podwire refused ingress ');
  w.raw(9, payload);
  return w.bytes.slice(16);
}

const bytes = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

test('TCP over IPv4, as tcpdump shows it', () => {
  const packet = bytes('4500003c1c464000 4006b1e6 0af40802 0af40803 9c40 0050 00000000 00000000 a002faf0 00000000');
  assert.deepEqual(decodeLoggedPacket(logged(packet)), {
    prefix: 'podwire refused ingress ',
    src: '10.244.8.2',
    dst: '10.244.8.3',
    protocol: 6,
    srcPort: 40000,
    dstPort: 80,
  });
});

test('UDP over IPv6 behind a destination option', () => {
  const addresses = 'fd002440008000000000000000000002 fd002440008000000000000000000003';
  const packet = bytes(`6000000000103c40 ${addresses} 1100010400000000 1388 0035 0008 0000`);
  const { src, dst, protocol, srcPort, dstPort } = decodeLoggedPacket(logged(packet))!;
  assert.deepEqual([src, dst], ['fd00:2440:80::2', 'fd00:2440:80::3']);
  assert.deepEqual([protocol, srcPort, dstPort], [17, 5000, 53]);
});

test('ICMP has no ports; what is cut off tells less, and what is no packet nothing', () => {
  const ping = bytes('4500001c0000 4000 4001 0000 0af40802 0af40803 0800 f7ff 0000 0000');
  assert.deepEqual(Object.keys(decodeLoggedPacket(logged(ping))!), ['prefix', 'src', 'dst', 'protocol']);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (any) => {
      const packet = decodeLoggedPacket(logged(any));
      if (any.length < 20) assert.equal(packet, undefined);
    }),
  );
});
