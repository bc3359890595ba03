// Services at size: load, one endpoint's change, one more Service; from Kubernetes objects through plan and reconciler into nftables.

import type { KernelItem } from '../src/kernel/items.ts';
import type { Kernel } from '../src/kernel/kernel.ts';
import { openKernel } from '../src/kernel/linux.ts';
import { openNft } from '../src/kernel/nft-linux.ts';
import type { EndpointSlice, Service } from '../src/objects/types.ts';
import type { Fragment } from '../src/plan/plan.ts';
import { planProxyBase } from '../src/plan/proxy-base.ts';
import type { NodeFacts } from '../src/plan/proxy-names.ts';
import { planService } from '../src/plan/services.ts';
import { createReconciler } from '../src/reconcile/loop.ts';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { printMachine, printSamples } from './measure.ts';

const ENDPOINTS = 10;
const facts: NodeFacts = {
  nodeName: 'node',
  nodeIPs: ['172.30.0.11'],
  ownPodCIDRs: ['10.244.1.0/24'],
  podCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  dnsIPs: [],
};

const metadata = (name: string) => ({
  name,
  namespace: 'bench',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});

function serviceAt(n: number): Service {
  const clusterIP = `10.96.${n >> 8}.${n & 255}`;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(`s${n}`),
    spec: { clusterIPs: [clusterIP], ports: [{ port: 80 }] },
  };
}

/** `changed` replaces the third endpoint. */
function sliceAt(n: number, changed?: string): EndpointSlice {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => {
    const index = n * ENDPOINTS + i;
    const ip = `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
    const targetRef = { kind: 'Pod', namespace: 'bench', name: `s${n}-${i}` };
    return {
      addresses: [i === 2 && changed ? changed : ip],
      conditions: { ready: true },
      nodeName: 'other',
      targetRef,
    };
  });
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: metadata(`s${n}-a`),
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints,
  };
}

function milliseconds(act: () => void): number {
  const start = process.hrtime.bigint();
  act();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

let count = 0;
function inFreshKernel<T>(use: (kernel: Kernel) => T): T {
  const netns = netnsPath(`pwt-bench${process.pid}-${count++}`);
  createNetns(netns);
  const kernel = openKernel({ netns, nft: openNft(netns) });
  try {
    return use(kernel);
  } finally {
    kernel.close();
    removeNamespace(netns);
  }
}

function plansOf(services: number): Map<string, Fragment | undefined> {
  const plans = new Map<string, Fragment | undefined>();
  for (let n = 0; n < services; n++) plans.set(`service/bench/s${n}`, planService(serviceAt(n), [sliceAt(n)], facts));
  return plans;
}

function bench(services: number, rounds: number): void {
  console.log(`\n${services} Services x ${ENDPOINTS} endpoints`);
  const base = planProxyBase(facts);
  const plan: number[] = [];
  const raw: number[] = [];
  const whole: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let plans = new Map<string, Fragment | undefined>();
    plan.push(
      milliseconds(() => {
        plans = plansOf(services);
      }),
    );
    const items: KernelItem[] = [...plans.values()].flatMap((fragment) => fragment?.items ?? []);
    inFreshKernel((kernel) => {
      kernel.apply({ add: base.items, change: [], remove: [] });
      raw.push(milliseconds(() => kernel.apply({ add: items, change: [], remove: [] })));
    });
    inFreshKernel((kernel) => {
      const reconciler = createReconciler(kernel);
      reconciler.update(new Map([['proxy/base', base]]));
      whole.push(milliseconds(() => reconciler.update(plans)));
      if (round === rounds - 1) changes(kernel, reconciler, services);
    });
  }
  printSamples('  load: plan alone', plan);
  printSamples('  load: bytes and kernel alone, one batch', raw);
  printSamples('  load: reconciler, bytes and kernel', whole);
}

function changes(kernel: Kernel, reconciler: ReturnType<typeof createReconciler>, services: number): void {
  const key = 'service/bench/s7';
  const endpoint: number[] = [];
  const swap: number[] = [];
  for (let i = 0; i < 300; i++) {
    const slice = sliceAt(7, `10.200.0.${1 + (i % 200)}`);
    endpoint.push(
      milliseconds(() =>
        reconciler.update(new Map([[key, planService(serviceAt(7), [slice], facts, reconciler.plan.get(key))]])),
      ),
    );
  }
  const held = reconciler.plan.get(key)!.items.find((item) => item.kind === 'element' && item.set === 'endpoints')!;
  for (let i = 0; i < 300; i++)
    swap.push(milliseconds(() => kernel.apply({ add: [], change: [{ from: held, to: held }], remove: [] })));
  const add: number[] = [];
  for (let n = services; n < services + 30; n++) {
    add.push(
      milliseconds(() =>
        reconciler.update(new Map([[`service/bench/s${n}`, planService(serviceAt(n), [sliceAt(n)], facts)]])),
      ),
    );
  }
  printSamples('  one endpoint: bytes and kernel alone', swap);
  printSamples('  one endpoint: plan to kernel', endpoint);
  printSamples('  one more Service of 10: plan to kernel', add);
}

printMachine();
bench(1000, 7);
bench(10_000, 3);
