// Two nodes with two pods each, of the namespaces red and blue, and who of them answers whom.
import assert from 'node:assert/strict';
import { Machine, until } from './machine.ts';

export function policy(namespace: string, name: string, spec: object): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec };
}

function server(namespace: string, name: string, nodeName: string): object[] {
  const container = {
    name: 'web',
    image: 'podwire.io/agnhost',
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, labels: { pod: name } },
      spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container] },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { selector: { pod: name }, ports: [{ port: 80, targetPort: 'http' }] },
    },
  ];
}

export const manifest = (...objects: object[]) => objects.map((object) => JSON.stringify(object)).join('\n');
export const namespace = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { team: name } },
});

export class PolicyPods implements AsyncDisposable {
  readonly machine: Machine;
  readonly #ips = new Map<string, string>();

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  static async create(name: string, ...objects: object[]): Promise<PolicyPods> {
    const world = new PolicyPods(await Machine.create(name));
    try {
      await world.#start(objects);
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async #start(objects: readonly object[]): Promise<void> {
    const { machine } = this;
    await machine.mustPodwire('up', '--nodes', '2', '--datapath', 'nftables');
    await machine.apply(manifest(namespace('red'), namespace('blue'), ...objects));
    const servers = [
      ...server('red', 'web', 'node-1'),
      ...server('red', 'near', 'node-1'),
      ...server('blue', 'far', 'node-2'),
      ...server('blue', 'other', 'node-2'),
    ];
    await machine.apply(manifest(...servers));
    for (const each of ['red', 'blue']) {
      await machine.kubectl('wait', '-n', each, '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
    }
    const { items } = JSON.parse(await machine.kubectl('get', 'pods,services', '-A', '-o', 'json'));
    for (const { kind, metadata, spec, status } of items) {
      this.#ips.set(`${kind} ${metadata.namespace}/${metadata.name}`, kind === 'Pod' ? status.podIP : spec.clusterIP);
    }
  }

  /** Of a Pod or a Service: `Pod red/web`. */
  ip(of: string): string {
    return this.#ips.get(of)!;
  }

  /** What the pod gets when it asks for /hostname there; undefined when nothing comes. */
  async ask(from: string, host: string, port: number, patience: number): Promise<string | undefined> {
    const [of, pod] = from.split('/') as [string, string];
    const url = `http://${host}:${port}/hostname`;
    const limit = String(patience);
    const words = ['exec', '-n', of, pod, '--', 'curl', '-s', '--max-time', limit, '--connect-timeout', limit, url];
    const { code, stdout } = await this.machine.run('kubectl', words);
    return code === 0 ? stdout.trim() : undefined;
  }

  async answers(from: string, host: string, port: number): Promise<void> {
    const reached = async () => (await this.ask(from, host, port, 20)) !== undefined;
    await until(`${from} reaches ${host}:${port}`, reached);
  }

  async isSilent(from: string, host: string, port: number): Promise<void> {
    assert.equal(await this.ask(from, host, port, 1), undefined, `${from} reaches ${host}:${port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}
