// Traces over the plans of three nodes: a table of ways, each with the words that its hops must have and how it ends.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  clusterOf,
  nodeIPs,
  nodeObject,
  type Objects,
  OUTSIDE,
  podIPs,
  podObject,
  policyObject,
  serviceObject,
  sliceObjects,
} from './cluster.fixture.ts';
import type { ClusterParts } from './cluster.ts';
import type { Trace } from './hop.ts';
import { PLAIN, traceText } from './trace-text.ts';
import { traceFlow } from './walker.ts';

const client = podObject('client', { node: 0, slot: 0, labels: { app: 'client' } });
const near = podObject('web-1', {
  node: 0,
  slot: 1,
  labels: { app: 'web' },
  ports: [{ containerPort: 8080, name: 'http' }],
});
const far = podObject('web-2', { node: 1, slot: 0, labels: { app: 'web' } });
const sick = podObject('web-3', { node: 2, slot: 0, labels: { app: 'web' }, ready: false });
const pods = [client, near, far, sick];
const SPEC = {
  type: 'ClusterIP',
  clusterIP: '10.96.0.80',
  clusterIPs: ['10.96.0.80', 'fd00:10:96::80'],
  selector: { app: 'web' },
  ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP', nodePort: 30080 }],
};
const PORTS = [{ name: 'http', port: 8080, protocol: 'TCP' }];
const unready = { ready: false, serving: false, terminating: false };
const all = [{ pod: near }, { pod: far }, { pod: sick, conditions: unready }];

function withService(spec: object, endpoints: Parameters<typeof sliceObjects>[2] = all, more: Objects = {}): Objects {
  const service = serviceObject('web', { ...SPEC, ...spec });
  return { pods, services: [service], slices: sliceObjects(service, PORTS, endpoints), ...more };
}

function trace(objects: Objects, from: string, to: string, port: number, more: Partial<ClusterParts> = {}): Trace {
  const packet = { src: from, dst: to, port, protocol: 'TCP' as const };
  return traceFlow(clusterOf(objects, more), { from, to, packet });
}

/** `stage: words` of each hop of the way, and how it ends. */
function said({ ways }: Trace, i = 0): string[] {
  const { hops, ending } = ways[i]!;
  return [...hops.map(({ node, stage, says }) => `${node ?? '-'} ${stage}: ${says}`), `${ending.kind} at ${ending.at}`];
}

const CLIENT = podIPs(0, 0);

describe('traceFlow', () => {
  for (const family of [0, 1] as const) {
    test(`a Service's endpoints are ways, IPv${family === 0 ? 4 : 6}`, () => {
      const found = trace(withService({}), CLIENT[family], SPEC.clusterIPs[family]!, 80);
      assert.deepEqual(
        found.ways.map(({ ending }) => [ending.kind, ending.at, ending.packet.dst]),
        [
          ['delivered', 'shop/web-1', podIPs(0, 1)[family]],
          ['delivered', 'shop/web-2', podIPs(1, 0)[family]],
        ],
      );
      const [service] = found.ways[0]!.hops;
      assert.deepEqual(service!.by, ['Service/shop/web', 'Pod/shop/web-1']);
      assert.equal(service!.more!.length, 3);
      assert.match(service!.more!.join('\n'), /not Pod\/shop\/web-3 .* on node-3: it is not ready/);
      const far = found.ways[1]!.hops;
      const ends = nodeIPs(0)
        .map((_, i) => `${nodeIPs(0)[0]} -> ${nodeIPs(i)[0]}`)
        .at(1);
      assert.match(far.find(({ stage }) => stage === 'overlay')!.says, new RegExp(`VXLAN 1, UDP port 8472: ${ends}`));
      const reply = far.at(-1)!;
      assert.match(reply.says, /pw-vxlan to node-1; node-1 puts .*:80 back as its source/);
    });
  }

  test('a policy that refuses is named, with the rule that would allow', () => {
    const policies = [policyObject('web', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] })];
    const found = trace(withService({}, all, { policies }), CLIENT[0], '10.96.0.80', 80);
    for (const { hops, ending } of found.ways) {
      assert.deepEqual([ending.kind, ending.stage], ['lost', 'ingress']);
      assert.deepEqual(hops.at(-1)!.by, ['NetworkPolicy/shop/web']);
      assert.equal(
        ending.mend,
        'add an ingress rule to NetworkPolicy/shop/web that allows pods app=client on 8080/TCP',
      );
    }
    assert.match(traceText(found, PLAIN).join('\n'), /NO {2}node-1 {2}ingress .*isolated by NetworkPolicy\/shop\/web/);
  });

  test('egress is judged on the pod behind the Service', () => {
    const egress = [{ to: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 80 }] }];
    const policies = [
      policyObject('c', { podSelector: { matchLabels: { app: 'client' } }, policyTypes: ['Egress'], egress }),
    ];
    const found = trace(withService({}, all, { policies }), CLIENT[0], '10.96.0.80', 80);
    const [way] = found.ways;
    assert.deepEqual([way!.ending.kind, way!.ending.stage], ['lost', 'egress']);
    assert.match(
      way!.ending.mend!,
      /an egress rule to NetworkPolicy\/shop\/c that allows traffic to pods app=web on 8080\/TCP/,
    );
  });

  test('why a Service refuses', () => {
    const refused = (objects: Objects, to: string, port: number) => trace(objects, CLIENT[0], to, port).ways[0]!.ending;
    assert.match(refused(withService({}, []), '10.96.0.80', 80).mend!, /get pod shop\/web-3 Ready/);
    assert.match(refused(withService({ selector: { app: 'no' } }, []), '10.96.0.80', 80).mend!, /the labels app=no/);
    assert.match(refused(withService({}), '10.96.0.80', 81).mend!, /80\/TCP \(http\)/);
    const none = refused(withService({}), '10.96.9.9', 80);
    assert.deepEqual([none.kind, none.stage], ['refused', 'service']);
    assert.match(none.mend!, /no Service has 10\.96\.9\.9/);
  });

  test('a client outside is masqueraded, and by its own address where the policy is Local', () => {
    const nodePort = { type: 'NodePort' };
    const [first] = nodeIPs(0);
    const found = trace(withService(nodePort), OUTSIDE[0], first, 30080);
    assert.deepEqual(
      found.ways.map(({ ending }) => ending.packet.src),
      [first, first],
    );
    assert.match(said(found, 1).join('\n'), /snat: source 172\.30\.0\.1 becomes 172\.30\.0\.11/);
    const local = withService({ ...nodePort, externalTrafficPolicy: 'Local' });
    const kept = trace(local, OUTSIDE[0], first, 30080);
    assert.deepEqual(
      kept.ways.map(({ ending }) => [ending.at, ending.packet.src]),
      [['shop/web-1', OUTSIDE[0]]],
    );
    const [dropped] = trace(local, OUTSIDE[0], nodeIPs(2)[0], 30080).ways;
    assert.equal(dropped!.ending.kind, 'lost');
    assert.match(dropped!.ending.mend!, /run a pod of Service\/shop\/web on node-3/);
    // Pods inside go anywhere.
    assert.equal(trace(local, CLIENT[0], nodeIPs(2)[0], 30080).ways.length, 2);
  });

  test('loadBalancerSourceRanges and who answers for the address', () => {
    const status = { loadBalancer: { ingress: [{ ip: '172.30.0.200' }] } };
    const service = serviceObject(
      'web',
      { ...SPEC, type: 'LoadBalancer', loadBalancerSourceRanges: ['192.0.2.0/24'] },
      'shop',
      status,
    );
    const objects: Objects = {
      pods,
      services: [service],
      slices: sliceObjects(service, PORTS, all),
      claims: { 1: ['172.30.0.200'] },
    };
    const [way] = trace(objects, OUTSIDE[0], '172.30.0.200', 80).ways;
    assert.equal(way!.hops[0]!.node, 'node-2');
    assert.match(way!.ending.mend!, /add 172\.30\.0\.1 to spec\.loadBalancerSourceRanges/);
    const unclaimed = trace({ ...objects, claims: {} }, OUTSIDE[0], '172.30.0.200', 80);
    assert.deepEqual([unclaimed.ways[0]!.ending.kind, unclaimed.ways[0]!.ending.stage], ['lost', 'route']);
  });

  test('a pod that is sent to itself sees its node', () => {
    const found = trace(withService({}, [{ pod: client }]), CLIENT[0], '10.96.0.80', 80);
    assert.equal(found.ways[0]!.ending.packet.src, nodeIPs(0)[0]);
    assert.equal(found.ways[0]!.ending.kind, 'delivered');
  });

  test('affinity is told', () => {
    const found = trace(withService({ sessionAffinity: 'ClientIP' }), CLIENT[0], '10.96.0.80', 80);
    assert.equal(found.ways.length, 2);
    assert.match(said(found).join('\n'), /the client stays there for 10800 s/);
  });

  test('a published port', () => {
    const pod = podObject('host', { node: 1, slot: 5, ports: [{ containerPort: 80, hostPort: 8088 }] });
    const found = trace({ pods: [client, pod] }, CLIENT[0], nodeIPs(1)[0], 8088);
    assert.deepEqual([found.ways[0]!.ending.at, found.ways[0]!.ending.packet.src], ['shop/host', CLIENT[0]]);
    assert.match(said(found).join('\n'), /published port of Pod\/shop\/host/);
  });

  test('no route, a node that is NotReady, a closed port', () => {
    const nowhere = trace({ pods }, CLIENT[0], '203.0.113.9', 80).ways[0]!.ending;
    assert.deepEqual([nowhere.kind, nowhere.stage], ['unreachable', 'route']);
    const nodes = [nodeObject(0), nodeObject(1, 'Unknown'), nodeObject(2)];
    const gone = trace({ pods, nodes }, CLIENT[0], podIPs(1, 0)[0], 8080).ways[0]!.ending;
    assert.deepEqual([gone.kind, gone.at], ['lost', 'node-2']);
    const closed = trace({ pods }, CLIENT[0], podIPs(0, 1)[0], 81, { listens: () => false }).ways[0]!.ending;
    assert.deepEqual([closed.kind, closed.stage], ['refused', 'delivery']);
    assert.match(closed.mend!, /8080\/TCP \(http\)/);
  });

  test('DNS is the node itself, as the pod that policies see', () => {
    const deny = [policyObject('d', { podSelector: {}, policyTypes: ['Egress'] })];
    const ask = (policies: typeof deny) => trace({ pods, policies }, CLIENT[0], '10.96.0.10', 53).ways[0]!.ending;
    assert.deepEqual([ask([]).kind, ask([]).at], ['delivered', 'DNS of node-1']);
    assert.match(ask(deny).mend!, /allows traffic to pods k8s-app=kube-dns of namespace kube-system on 53\/TCP/);
  });

  test('Services at the socket', () => {
    const found = trace(withService({}), CLIENT[0], '10.96.0.80', 80, { proxyMode: 'ebpf' });
    assert.equal(found.ways[0]!.hops[0]!.stage, 'socket');
    assert.ok(found.ways.every(({ hops }) => !hops.some(({ stage }) => stage === 'service' || stage === 'snat')));
    const none = trace(withService({}, []), CLIENT[0], '10.96.0.80', 80, { proxyMode: 'ebpf' });
    assert.deepEqual([none.ways[0]!.ending.kind, none.ways[0]!.ending.stage], ['refused', 'socket']);
  });

  test('ways that end alike are told once, others apart', () => {
    const only = { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] };
    const policies = [policyObject('web', only)];
    const labelled = podObject('web-2', { node: 1, slot: 0, labels: {} });
    const objects = withService({}, [{ pod: near }, { pod: labelled }], { policies, pods: [client, near, labelled] });
    const text = traceText(trace(objects, CLIENT[0], '10.96.0.80', 80), PLAIN).join('\n');
    assert.equal(text.match(/1 of 2 ways:/g)!.length, 2);
    assert.match(text, /It is 1 of 2 times lost/);
  });
});
