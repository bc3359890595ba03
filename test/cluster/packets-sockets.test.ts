// Packets of pods that find Services at their sockets, over the eBPF fast path: the same in all that can be seen from outside.
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { socketLbLacks } from '../../src/kernel/socket-lb.ts';
import { packetSuite } from './packet-suite.ts';

const isRoot = process.getuid?.() === 0;
const probed = isRoot ? probeFastPath() : { missing: 'needs root' };
const lacking = 'missing' in probed ? probed.missing : socketLbLacks();
packetSuite(['--datapath', 'ebpf', '--proxy-mode', 'ebpf'], lacking);
