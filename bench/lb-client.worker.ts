// Half of bench/lb: the client that connects every 10 ms, on a thread that lives in the outside host's namespace.
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectingClient } from '../src/lb/blackout.ts';
import { enterNetns } from '../src/sys/netns.ts';

const { netns, ip, port } = workerData as { netns: string; ip: string; port: number };
enterNetns(netns);
const client = new ConnectingClient(ip, port);
parentPort!.on('message', (question: 'take' | 'mark' | 'close') => {
  if (question === 'take') parentPort!.postMessage(client.take());
  else if (question === 'mark') parentPort!.postMessage(client.successesSince(ConnectingClient.now() - 300));
  else void client.close().then(() => process.exit(0));
});
