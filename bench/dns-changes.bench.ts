// Bench of DNS under change: from a Service's creation, and from a pod's readiness, to the first right answer on a node.
import { createSocket } from 'node:dgram';
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import { noLookup } from '../src/dns/upstream-socket.ts';
import type { Draft, Pod, Service } from '../src/objects/types.ts';
import { enterNetns, inNetns } from '../src/sys/netns.ts';
import { RCODE } from '../src/wire/dns/message.ts';
import { decodeMessage } from '../src/wire/dns/reader.ts';
import { encodeMessage, queryMessage } from '../src/wire/dns/writer.ts';
import { Machine } from '../test/cluster/machine.ts';
import { printMachine, printSamples } from './measure.ts';

const SAMPLES = 40;
const DNS = '10.96.0.10';

/** Asks again and again, and resolves with the moment of the first answer that has a record. */
function firstAnswer(netns: string, name: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = inNetns(netns, () => {
      const opened = createSocket({ type: 'udp4', lookup: noLookup });
      opened.bind(0);
      return opened;
    });
    const ask = () => socket.send(encodeMessage(queryMessage(1, name, 1)), 53, DNS);
    socket.on('message', (bytes) => {
      const message = decodeMessage(bytes);
      if ('malformed' in message || message.rcode !== RCODE.NOERROR || message.answers.length === 0) {
        setImmediate(ask);
        return;
      }
      socket.close();
      resolve(performance.now());
    });
    ask();
  });
}

async function services(client: Client, netns: string): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const answered = firstAnswer(netns, `s-${i}.default.svc.cluster.local`);
    const service = { metadata: { name: `s-${i}`, namespace: 'default' }, spec: { ports: [{ port: 80 }] } };
    await client.create('Service', service as Draft<Service>);
    const created = performance.now();
    took.push(Math.max(0, (await answered) - created));
  }
  return took;
}

/** From the moment at which a watch shows the pod Ready. */
async function endpoints(client: Client, netns: string): Promise<number[]> {
  const headless = {
    metadata: { name: 'all', namespace: 'default' },
    spec: { clusterIP: 'None', selector: { app: 'all' } },
  };
  await client.create('Service', headless as Draft<Service>);
  const took: number[] = [];
  const { metadata } = await client.list('Pod', { namespace: 'default' });
  let onReady: (name: string) => void = () => {};
  const options = { namespace: 'default', resourceVersion: metadata.resourceVersion };
  const watch = client.watch('Pod', options, ({ object }) => {
    const { status, metadata: meta } = object as Pod;
    if (status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')) onReady(meta.name);
  });
  for (let i = 0; i < SAMPLES; i++) {
    const name = `pod-${i}`;
    const ready = new Promise<number>((resolve) => {
      onReady = (which) => which === name && resolve(performance.now());
    });
    const answered = firstAnswer(netns, `${name}.all.default.svc.cluster.local`);
    const containers = [{ name: 'c', image: 'podwire.io/agnhost', args: ['pause'] }];
    const spec = { hostname: name, subdomain: 'all', terminationGracePeriodSeconds: 0, containers };
    const pod = { metadata: { name, namespace: 'default', labels: { app: 'all' } }, spec };
    await client.create('Pod', pod as unknown as Draft<Pod>);
    const since = await ready;
    took.push(Math.max(0, (await answered) - since));
    await client.delete('Pod', name, 'default', { gracePeriodSeconds: 0 });
  }
  watch.stop();
  return took;
}

printMachine();
if (process.getuid?.() !== 0) console.log('skipped: needs root');
else {
  await using machine = await Machine.create('dnschg');
  enterNetns(`/run/netns/${machine.netns}`);
  await machine.mustPodwire('up', '--nodes', '3');
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  const netns = `/run/netns/pw-${machine.cluster}-node-2`;
  printSamples('a Service, from the answer to its creation to the right answer of DNS', await services(client, netns));
  printSamples('an endpoint, from its readiness to the right answer of DNS', await endpoints(client, netns));
  client.transport.close();
}
