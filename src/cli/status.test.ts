// Room cli: what to try next, as somebody can type it: with the cluster's name, and addresses of either family.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterStatus } from '../cluster/status.ts';
import { nextSteps } from './status.ts';

function status(name: string, ip: string): ClusterStatus {
  const pod = { namespace: 'demo', name: 'client', node: 'node-2', ip: '', phase: 'Running', ready: true };
  const service = { namespace: 'demo', name: 'web', type: 'NodePort', clusterIP: '', ports: ['80:30080/TCP'] };
  return {
    ...{ name, state: 'up', kubeconfig: '/k', log: '', memoryMiB: 1, parts: [], startedIn: {} },
    config: {} as ClusterStatus['config'],
    versions: { podwire: '', kubernetes: '', node: '', kernel: '' },
    nodes: [{ name: 'node-2', ready: true, ips: [ip], podCIDRs: [] }],
    pods: [pod],
    services: [service],
  };
}

for (const [name, ip, url, command] of [
  ['podwire', '172.30.0.12', 'http://172.30.0.12:30080/', 'node exec node-2 -- nft list map ip podwire'],
  [
    'six',
    'fd00:172:30::c',
    'http://[fd00:172:30::c]:30080/',
    'node exec --name six node-2 -- nft list map ip6 podwire',
  ],
] as const) {
  test(`next steps of cluster ${name}`, () => {
    const said = nextSteps(status(name, ip)).split('\n');
    assert.ok(said.includes('  kubectl get nodes,pods,svc -A -o wide'));
    assert.ok(said.includes(`  curl ${url}hostname`), said.join('\n'));
    assert.ok(
      said.some((line) => line.endsWith(`podwire ${command} services`)),
      said.join('\n'),
    );
  });
}
