// Connections that live long go on whatever happens to the daemon, and whatever other Services and Deployments do.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '../../src/client/client.ts';
import { openKubeconfig } from '../../src/client/kubeconfig.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { command, echoServer, type Flow, flowClient, TCP_PORT, UDP_PORT } from './flow.ts';
import { kubectlSkip, Machine, until } from './machine.ts';

const skip = kubectlSkip() ?? false;
const NODE_PORT = 30900;
let machine: Machine;
let outside: ChildProcess | undefined;
let watched: () => Promise<Record<string, Flow>>;

before(async () => {
  if (skip) return;
  machine = await Machine.create('flow');
  await machine.mustPodwire('up', '--nodes', '2');
  watched = await startFlows();
});

after(async () => {
  outside?.kill('SIGKILL');
  await machine?.[Symbol.asyncDispose]();
});

function pod(name: string, node: string, words: readonly string[]): object {
  const readinessProbe = { tcpSocket: { port: TCP_PORT }, periodSeconds: 1 };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'c', image: 'podwire.io/agnhost', command: words, ...(name === 'server' && { readinessProbe }) },
      ],
    },
  };
}

const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'server' },
  spec: {
    type: 'NodePort',
    selector: { app: 'server' },
    ports: [
      { name: 'tcp', port: TCP_PORT, nodePort: NODE_PORT },
      { name: 'udp', port: UDP_PORT, protocol: 'UDP' },
    ],
  },
};

const read = (kind: string, name: string, path: string) =>
  machine.kubectl('get', kind, name, '-o', `jsonpath={${path}}`);

async function startFlows(): Promise<() => Promise<Record<string, Flow>>> {
  await machine.apply(JSON.stringify(SERVICE));
  await machine.apply(JSON.stringify(pod('server', 'node-1', command(echoServer, TCP_PORT, UDP_PORT))));
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/server', '--timeout=60s');
  const [podIP, clusterIP, nodeIP] = await Promise.all([
    read('pod', 'server', '.status.podIP'),
    read('service', 'server', '.spec.clusterIP'),
    read('node', 'node-2', '.status.addresses[0].address'),
  ]);
  await until('the Service leads somewhere', async () => {
    const { code } = await machine.run('bash', ['-c', `exec 3<>/dev/tcp/${nodeIP}/${NODE_PORT}`]);
    return code === 0;
  });
  const both = [`tcp:${clusterIP}:${TCP_PORT}`, `udp:${clusterIP}:${UDP_PORT}`];
  const fromPod = [`tcp:${podIP}:${TCP_PORT}`, `udp:${podIP}:${UDP_PORT}`, ...both];
  await machine.apply(JSON.stringify(pod('client', 'node-2', command(flowClient, ...fromPod))));
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/client', '--timeout=60s');
  const log = join(machine.state, 'clusters', machine.cluster, 'nodes/node-2/pods');
  const uid = await read('pod', 'client', '.metadata.uid');
  const inPod = () => {
    const line = readFileSync(join(log, `default_client_${uid}`, 'c', '0.log'), 'utf8')
      .trimEnd()
      .split('\n')
      .at(-1)!;
    return JSON.parse(line.slice(line.indexOf('{'))) as Record<string, Flow>;
  };
  const [, ...words] = command(flowClient, `tcp:${nodeIP}:${NODE_PORT}`, ...both);
  outside = machine.spawn(process.execPath, words);
  let last = '{}';
  outside.stdout!.setEncoding('utf8').on('data', (text: string) => {
    last = text.trimEnd().split('\n').at(-1)!;
  });
  return async () => {
    const fromMachine = JSON.parse(last) as Record<string, Flow>;
    const renamed = Object.entries(fromMachine).map(([name, flow]) => [`machine ${name}`, flow] as const);
    return { ...inPod(), ...Object.fromEntries(renamed) };
  };
}

/** Every flow carries 25 messages more, that is half a second's, and none has had an error. */
async function flowsGoOn(when: string): Promise<void> {
  const counts = (flows: Record<string, Flow>) => Object.entries(flows).map(([name, flow]) => [name, flow] as const);
  const first = await until(`all flows are there (${when})`, async () => {
    const flows = await watched();
    return Object.keys(flows).length === 7 && flows;
  });
  await until(`every flow goes on ${when}`, async () => {
    const now = await watched();
    for (const [name, { errors }] of counts(now)) assert.deepEqual(errors, [], `${name} ${when}`);
    return counts(now).every(([name, { echoed }]) => echoed >= first[name]!.echoed + 25);
  }).catch(async (error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await watched())}`, { cause: error.cause });
  });
}

function daemonPid(): number {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

test('flows go on while the daemon is dead, while it comes back, and when it is back', { skip }, async () => {
  await flowsGoOn('at first');
  for (let round = 0; round < 2; round++) {
    process.kill(daemonPid(), 'SIGKILL');
    await flowsGoOn('without a daemon');
    await Promise.all([machine.mustPodwire('up'), flowsGoOn('during adoption')]);
    await flowsGoOn('after adoption');
  }
});

const OTHER = (version: number) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'other' },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'other' } },
    template: {
      metadata: { labels: { app: 'other' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'c',
            image: 'podwire.io/agnhost',
            args: ['netexec', '--http-port=8080'],
            env: [{ name: 'VERSION', value: String(version) }],
            readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
});

test('flows go on during a rollout of another Deployment', { skip }, async () => {
  await machine.apply(JSON.stringify(OTHER(1)));
  await machine.kubectl('rollout', 'status', 'deployment/other', '--timeout=60s');
  await machine.apply(JSON.stringify(OTHER(2)));
  await Promise.all([
    machine.kubectl('rollout', 'status', 'deployment/other', '--timeout=60s'),
    flowsGoOn('during a rollout'),
  ]);
  await flowsGoOn('after a rollout');
});

test('flows go on during 200 updates of other Services, and of endpoints beside their own', { skip }, async () => {
  const service = (name: string) => ({
    metadata: { name, namespace: 'default' },
    spec: { selector: { app: 'other' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  enterNetns(`/run/netns/${machine.netns}`);
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  const names = Array.from({ length: 50 }, (_, i) => `other-${i}`);
  await Promise.all(names.map((name) => client.create('Service', service(name))));
  for (let round = 1; round < 4; round++) {
    const spec = { ports: [{ port: 80 + round, targetPort: 8080 }] };
    await Promise.all(names.map((name) => client.patch('Service', { name, namespace: 'default' }, { spec })));
    const target = { name: 'other', namespace: 'default' };
    await client.patch('Deployment', target, { spec: { replicas: round % 2 ? 1 : 4 } });
  }
  await flowsGoOn('during updates of other Services');
  await Promise.all(names.map((name) => client.delete('Service', name, 'default')));
  await client.delete('Deployment', 'other', 'default');
  await flowsGoOn('after other Services are deleted');
  client.transport.close();
});
