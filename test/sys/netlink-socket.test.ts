// Netlink sockets of room sys against the kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NETLINK, NetlinkSocket } from '../../src/sys/netlink-socket.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import type { NetlinkMessage } from '../../src/wire/netlink/message.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const ifinfo = (index = 0) => new Uint8Array(Int32Array.of(0, index, 0, 0).buffer);

test('a netlink socket dumps, tells errors in words, and hears what others do', { skip }, async () => {
  const path = netnsPath(`pwt-sys-nl-${process.pid}`);
  createNetns(path);
  try {
    using socket = new NetlinkSocket(NETLINK.ROUTE, path);
    const links = socket.dump({ type: RTM_GETLINK, flags: 0, body: ifinfo() });
    assert.equal(links.length > 0 && links.every((link) => link.type === RTM_NEWLINK), true);
    assert.throws(() => socket.request({ type: RTM_DELLINK, flags: 0, body: ifinfo(4711) }), { code: 'ENODEV' });

    const up = new Uint8Array(Int32Array.of(0, 1, 1, 1).buffer);
    const requests = [ifinfo(4711), up, ifinfo(4712)].map((body) => ({ type: RTM_NEWLINK, flags: 0, body }));
    const refusals = socket.batch(requests);
    assert.deepEqual(
      refusals.map((refusal) => [refusal.index, refusal.code]),
      [
        [0, 'ENODEV'],
        [2, 'ENODEV'],
      ],
    );

    using listener = new NetlinkSocket(NETLINK.ROUTE, path);
    const RTNLGRP_LINK = 1;
    const heard = await new Promise<NetlinkMessage>((resolve, reject) => {
      const stop = listener.subscribe(
        [RTNLGRP_LINK],
        (message) => {
          stop();
          resolve(message);
        },
        () => reject(new Error('lost')),
      );
      socket.request({ type: RTM_NEWLINK, flags: 0, body: new Uint8Array(Int32Array.of(0, 1, 0, 1).buffer) });
    });
    assert.equal(heard.type, RTM_NEWLINK);
  } finally {
    removeNamespace(path);
  }
});

test('a netfilter socket answers GETGEN', { skip }, () => {
  using socket = new NetlinkSocket(NETLINK.NETFILTER);
  const NFT_MSG_GETGEN = (10 << 8) | 16;
  const answers = socket.request({ type: NFT_MSG_GETGEN, flags: 0, body: Uint8Array.of(0, 0, 0, 0) });
  assert.equal(answers.length, 1);
});

test('what a pool thread sends is not collected under its hands: every request is answered', { skip }, async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  const sockets = Array.from({ length: 16 }, () => new NetlinkSocket(NETLINK.ROUTE));
  try {
    for (let round = 0; round < 10; round++) {
      const answers = sockets.map((socket) =>
        socket.requestInPool({ type: RTM_DELLINK, flags: 0, body: ifinfo(471_100) }).catch(({ code }) => code),
      );
      // More than the pool has threads: some have not begun to send when their bytes would be gone.
      for (const type of ['minor', 'major']) collect({ type });
      for (let i = 0; i < 2000; i++) new Uint8Array(40).fill(0xff);
      assert.deepEqual(new Set(await Promise.all(answers)), new Set(['ENODEV']));
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
});
