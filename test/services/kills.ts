// Agents that are killed while Services are in use: what is open goes on, and nobody who connects in between is refused or waits in vain.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { breakThread } from '../cluster/break-thread.ts';
import { command, echoServer, type Flow, flowClient, TCP_PORT, UDP_PORT } from '../cluster/flow.ts';
import { until } from '../cluster/machine.ts';
import { NODES, type World } from './cluster-world.ts';

const NODE_PORT = 30010;

/** A connection after the other to each `host port`: a byte there and back; tells the counts as flowClient does. */
export function knocker(...targets: string[]): void {
  const { connect } = process.getBuiltinModule('node:net');
  const flows = Object.fromEntries(targets.map((target) => [target, { echoed: 0, errors: [] as string[] }]));
  for (const target of targets) knock(target);
  setInterval(() => console.log(JSON.stringify(flows)), 100);

  function knock(target: string): void {
    const [host, port] = target.split(' ') as [string, string];
    const flow = flows[target]!;
    const socket = connect(Number(port), host, () => socket.write('?'));
    const limit = setTimeout(() => socket.destroy(new Error('no answer for 15 s')), 15_000);
    socket.on('data', () => {
      flow.echoed++;
      socket.destroy();
    });
    socket.on('error', (error) => flow.errors.push(error.message));
    socket.on('close', () => {
      clearTimeout(limit);
      setTimeout(knock, 5, target);
    });
  }
}

function pod(name: string, nodeName: string, containers: Readonly<Record<string, readonly string[]>>): string {
  const readinessProbe = { tcpSocket: { port: TCP_PORT }, periodSeconds: 1 };
  const of = ([container, words]: [string, readonly string[]]) => ({
    name: container,
    image: 'podwire.io/agnhost',
    command: words,
    ...(container === 'server' && { readinessProbe }),
  });
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: Object.entries(containers).map(of) };
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec });
}

const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'flows' },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: { app: 'flows' },
    ports: [
      { name: 'tcp', port: TCP_PORT, nodePort: NODE_PORT },
      { name: 'udp', port: UDP_PORT, protocol: 'UDP' },
    ],
  },
};

/** Flows of a pod and of the host outside, which go on until it is disposed of. */
class Users implements Disposable {
  readonly #logs: readonly string[];
  readonly #outside: ChildProcess;
  #said = '{}';

  static async start(world: World): Promise<Users> {
    const { machine } = world;
    await machine.apply(JSON.stringify(SERVICE));
    await machine.apply(pod('flows', 'node-1', { server: command(echoServer, TCP_PORT, UDP_PORT) }));
    await machine.kubectl('wait', '--for=condition=Ready', 'pod/flows', '--timeout=60s');
    const [v4, v6] = await world.clusterIPs('flows');
    const outsideTargets = [world.nodes['node-2']!, world.nodes['node-3']!].flatMap((node) => [node.v4, node.v6]);
    for (const ip of [v4!, ...outsideTargets]) {
      const port = ip === v4 ? TCP_PORT : NODE_PORT;
      await until(
        `${ip} answers`,
        async () => (await world.sh(ip === v4 ? 'node-3' : 'outside', `ncat -z -w 5 ${ip} ${port} && echo on`)) !== '',
      );
    }
    await machine.apply(
      pod('users', 'node-3', {
        open: command(flowClient, `tcp:${v4}:${TCP_PORT}`, `udp:${v4}:${UDP_PORT}`),
        new: command(knocker, `${v4} ${TCP_PORT}`, `${v6} ${TCP_PORT}`),
      }),
    );
    await machine.kubectl('wait', '--for=condition=Ready', 'pod/users', '--timeout=60s');
    const uid = await machine.kubectl('get', 'pod', 'users', '-o', 'jsonpath={.metadata.uid}');
    return new Users(world, uid, outsideTargets);
  }

  constructor(world: World, uid: string, outsideTargets: readonly string[]) {
    const { machine } = world;
    const pods = join(machine.state, 'clusters', machine.cluster, 'nodes/node-3/pods');
    this.#logs = ['open', 'new'].map((container) => join(pods, `default_users_${uid}`, container, '0.log'));
    const [, ...words] = command(knocker, ...outsideTargets.map((ip) => `${ip} ${NODE_PORT}`));
    this.#outside = spawn('nsenter', [`--net=/run/netns/${machine.netns}-out`, '--', process.execPath, ...words]);
    this.#outside.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = text.trimEnd().split('\n').at(-1)!;
    });
  }

  flows(): Map<string, Flow> {
    const last = (path: string) => {
      const line = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)!;
      return line.slice(line.indexOf('{'));
    };
    const parts = [...this.#logs.map((path) => [path.split('/').at(-2)!, last(path)]), ['outside', this.#said]];
    return new Map(
      parts.flatMap(([part, text]) =>
        Object.entries(JSON.parse(text!) as Record<string, Flow>).map(
          ([name, flow]) => [`${part} ${name}`, flow] as const,
        ),
      ),
    );
  }

  /** Each of them gets some answers more, and none has had an error. */
  async goOn(when: string): Promise<void> {
    const first = await until(`all are there ${when}`, async () => {
      const flows = this.flows();
      return flows.size === 8 && flows;
    });
    await until(`all go on ${when}`, async () => {
      const flows = this.flows();
      for (const [name, { errors }] of flows) assert.deepEqual(errors, [], `${name} ${when}`);
      return [...flows].every(([name, { echoed }]) => echoed >= first.get(name)!.echoed + 10);
    });
  }

  [Symbol.dispose](): void {
    this.#outside.kill('SIGKILL');
  }
}

/** The test's own process is in the machine's namespace. */
export async function killAgents(world: World): Promise<void> {
  const { machine } = world;
  using users = await Users.start(world);
  await users.goOn('before');
  const daemon = () => {
    const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
    return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
  };
  for (const node of NODES) {
    await until(`${node} has an agent to be killed`, () => breakThread(daemon(), node));
    await users.goOn(`while ${node} has no agent`);
    await until('all agents answer again', async () => (await machine.podwire('status')).code === 0);
    await users.goOn(`with a new agent of ${node}`);
  }
  process.kill(daemon(), 'SIGKILL');
  await until('the daemon is dead', async () => (await machine.podwire('status')).code === 3);
  await users.goOn('while there is no daemon at all');
  await machine.mustPodwire('up');
  await users.goOn('with a new daemon');
}
