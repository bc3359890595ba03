// ARP and NDP messages: against bytes from the RFCs' figures, and whatever else may come in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { arpAnnouncement, arpRequest, decodeArp } from './arp.ts';
import { decodeAdvertisement, neighbourAnnouncement, neighbourSolicitation, solicitedNode } from './ndp.ts';

const MAC = '02:4e:ac:1e:00:0b';
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('an ARP request and an announcement', () => {
  assert.equal(
    hex(arpRequest(MAC, '172.30.0.11', '172.30.0.200')),
    '0001080006040001024eac1e000bac1e000b000000000000ac1e00c8',
  );
  const announced = decodeArp(arpAnnouncement(MAC, '172.30.0.200'))!;
  assert.deepEqual(
    [announced.senderIP, announced.targetIP, announced.senderMAC],
    ['172.30.0.200', '172.30.0.200', MAC],
  );
});

test('a solicitation and an announcement of NDP', () => {
  assert.equal(
    hex(neighbourSolicitation('fd00::200', MAC)),
    '8700000000000000fd0000000000000000000000000002000101024eac1e000b',
  );
  const advert = neighbourAnnouncement('fd00::200', MAC);
  assert.equal(hex(advert), '88000000a0000000fd0000000000000000000000000002000201024eac1e000b');
  assert.deepEqual(decodeAdvertisement(advert), { target: 'fd00::200', mac: MAC });
  assert.equal(solicitedNode('fd00::aa:bbcc:ddee'), 'ff02::1:ffcc:ddee');
});

test('any bytes are a message or nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeArp(bytes);
      decodeAdvertisement(bytes);
      bytes[0] = 136;
      decodeAdvertisement(bytes);
    }),
  );
});
