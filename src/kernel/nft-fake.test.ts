// Room kernel: the fakes of nftables and of connection tracking obey the contract of the real ones.
import { PROTOCOL_NUMBERS } from '../wire/conntrack/entry.ts';
import { fakeConntrack } from './conntrack-fake.ts';
import { conntrackContract, type Flow, nftContract } from './nft-contract.ts';
import { fakeNft } from './nft-fake.ts';

nftContract('fake nftables', () => {
  const nft = fakeNft();
  return { nft, [Symbol.dispose]: () => nft.close() };
});

conntrackContract('fake conntrack', (flows) => {
  const conntrack = fakeConntrack();
  const entries = new Map<Flow, Parameters<typeof conntrack.entries.add>[0]>();
  for (const flow of flows) {
    const protocol = PROTOCOL_NUMBERS[flow.protocol];
    const entry = {
      original: { src: '192.0.2.1', srcPort: 4000, dst: flow.dst, dstPort: flow.port, protocol },
      reply: { src: flow.to, srcPort: flow.toPort, dst: '192.0.2.1', dstPort: 4000, protocol },
      id: entries.size,
    };
    entries.set(flow, entry);
    conntrack.entries.add(entry);
  }
  const has = (flow: Flow) => conntrack.entries.has(entries.get(flow)!);
  return { conntrack, has, [Symbol.dispose]: () => conntrack.close() };
});
