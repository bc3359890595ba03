// Packets of pods with the eBPF fast path: the same in all that can be seen from outside.
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { packetSuite } from './packet-suite.ts';

const probed = process.getuid?.() === 0 ? probeFastPath() : { missing: 'needs root' };
packetSuite(['--datapath', 'ebpf'], 'missing' in probed ? probed.missing : undefined);
