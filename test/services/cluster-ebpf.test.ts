// Services of a whole cluster whose pods find them at their sockets.
import { socketLbLacks } from '../../src/kernel/socket-lb.ts';
import { servicesSuite } from './cluster-suite.ts';

servicesSuite('ebpf', process.getuid?.() === 0 ? socketLbLacks() : undefined);
