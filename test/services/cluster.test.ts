// Services of a whole cluster, by nftables alone.
import { servicesSuite } from './cluster-suite.ts';

servicesSuite('nftables');
