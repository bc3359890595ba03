// rtnetlink requests as bytes, read against the structs of linux/rtnetlink.h, if_link.h and neighbour.h.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newAddress } from './address.ts';
import { getLink, newLink } from './link.ts';
import { encodeRequests, type NetlinkRequest } from './message.ts';
import { newFdbEntry, newNeighbour } from './neighbour.ts';
import { deleteRoute, newRoute } from './route.ts';

function assertBody(request: NetlinkRequest, ...parts: string[]): void {
  assert.equal(Buffer.from(request.body).toString('hex'), parts.join('').replaceAll(' ', ''));
}

test('a veth whose far end is born in another namespace', () => {
  const peer = { name: 'eth0', netns: 7, mac: '02:50:0a:f4:00:01', mtu: 1450 };
  assertBody(
    newLink('pw0', { kind: 'veth', peer }, { up: true, mtu: 1450, mac: 'ee:ee:ee:ee:ee:ee' }),
    '00 00 0000 00000000 01000000 01000000', // ifinfomsg: flags IFF_UP, change IFF_UP
    '0800 0300 70773000', // IFLA_IFNAME "pw0"
    '0800 0400 aa050000', // IFLA_MTU 1450
    '0a00 0100 eeeeeeeeeeee 0000', // IFLA_ADDRESS
    '0800 1f00 01000000', // IFLA_NUM_TX_QUEUES 1
    '0800 2000 01000000', // IFLA_NUM_RX_QUEUES 1
    '6000 1280', // IFLA_LINKINFO, nested
    '0900 0100 7665746800 000000', // IFLA_INFO_KIND "veth"
    '5000 0280', // IFLA_INFO_DATA, nested
    '4c00 0180', // VETH_INFO_PEER, nested
    '00 00 0000 00000000 00000000 00000000', // the peer's ifinfomsg: it cannot be born up
    '0900 0300 6574683000 000000',
    '0800 1f00 01000000',
    '0800 2000 01000000',
    '0800 0400 aa050000',
    '0a00 0100 02500af40001 0000',
    '0800 1c00 07000000', // IFLA_NET_NS_FD
  );
});

test('a VXLAN device that learns nothing', () => {
  assertBody(
    newLink('pw-vxlan', { kind: 'vxlan', vni: 1, local: '172.30.0.11', port: 8472 }, { up: true }),
    '00 00 0000 00000000 01000000 01000000',
    '0d00 0300 70772d76786c616e00 000000',
    '3400 1280',
    '0a00 0100 76786c616e00 0000',
    '2400 0280',
    '0800 0100 01000000', // IFLA_VXLAN_ID
    '0800 0400 ac1e000b', // IFLA_VXLAN_LOCAL
    '0500 0700 00 000000', // IFLA_VXLAN_LEARNING 0
    '0600 0f00 2118 0000', // IFLA_VXLAN_PORT, network order
  );
});

test('an address with its owner', () => {
  assertBody(
    newAddress({ index: 2, address: '172.30.0.11/24', noPrefixRoute: false, protocol: 201 }),
    '02 18 00 00 02000000', // ifaddrmsg: AF_INET, /24, scope universe, link 2
    '0800 0200 ac1e000b', // IFA_LOCAL
    '0800 0100 ac1e000b', // IFA_ADDRESS
    '0800 0800 02000000', // IFA_FLAGS: IFA_F_NODAD
    '0500 0b00 c9 000000', // IFA_PROTO 201
  );
});

test('a route through a gateway that no address of the link covers', () => {
  assertBody(
    newRoute({
      dst: '10.244.1.0/24',
      type: 'unicast',
      protocol: 201,
      table: 254,
      index: 3,
      via: '10.244.1.0',
      onlink: true,
      scope: 'global',
      src: '172.30.0.11',
      metric: 0,
      mtu: 1400,
    }),
    '02 18 00 00 00 c9 00 01 04000000', // rtmsg: AF_INET, /24, protocol 201, universe, unicast, RTNH_F_ONLINK
    '0800 0100 0af40100', // RTA_DST
    '0800 0f00 fe000000', // RTA_TABLE main
    '0800 0600 00000000', // RTA_PRIORITY
    '0800 0400 03000000', // RTA_OIF
    '0800 0500 0af40100', // RTA_GATEWAY
    '0800 0700 ac1e000b', // RTA_PREFSRC
    '0c00 0880 0800 0200 78050000', // RTA_METRICS: RTAX_MTU 1400
  );
  assertBody(
    deleteRoute({ dst: '0.0.0.0/0', protocol: 201, table: 254, metric: 7 }),
    '02 00 00 00 00 c9 ff 00 00000000', // any scope, any type; a default route has no RTA_DST
    '0800 0f00 fe000000',
    '0800 0600 07000000',
  );
});

test('a permanent neighbour, and a forwarding entry', () => {
  assertBody(
    newNeighbour(4, '169.254.1.1', 'ee:ee:ee:ee:ee:ee'),
    '02 00 0000 04000000 8000 00 00', // ndmsg: NUD_PERMANENT
    '0800 0100 a9fe0101', // NDA_DST
    '0a00 0200 eeeeeeeeeeee 0000', // NDA_LLADDR
  );
  assertBody(
    newFdbEntry(3, '02:76:ac:1e:00:0c', '172.30.0.12'),
    '07 00 0000 03000000 8000 02 00', // AF_BRIDGE, NTF_SELF
    '0800 0100 ac1e000c',
    '0a00 0200 0276ac1e000c 0000',
  );
});

test('requests in one buffer, numbered', () => {
  const bytes = encodeRequests([getLink(), { type: 17, flags: 4, body: Uint8Array.of(1) }], 5);
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    [
      '28000000 1200 0100 05000000 00000000', // nlmsghdr: length 40, RTM_GETLINK, NLM_F_REQUEST, sequence 5
      '00 00 0000 00000000 00000000 00000000',
      '0800 1d00 08000000', // IFLA_EXT_MASK: skip statistics
      '11000000 1100 0500 06000000 00000000 01 000000',
    ]
      .join('')
      .replaceAll(' ', ''),
  );
});
