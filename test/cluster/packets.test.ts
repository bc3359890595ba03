// Packets of pods with nftables alone.
import { packetSuite } from './packet-suite.ts';

packetSuite(['--datapath', 'nftables']);
