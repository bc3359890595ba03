// Room cni: the thread's own side: one order after the other, on sockets that it keeps.
import { parentPort, workerData } from 'node:worker_threads';
import { openKernel } from '../kernel/linux.ts';
import { type DescriptorTable, writeDescriptorsTo } from '../sys/descriptors.ts';
import { errorObject } from './run.ts';
import { Steps } from './steps.ts';
import { Wiring } from './wiring.ts';
import type { Done, Order } from './wiring-thread.ts';

writeDescriptorsTo(workerData as DescriptorTable);
const kernel = openKernel();

parentPort!.on('message', (order: Order) => parentPort!.postMessage(carryOut(order)));

function carryOut({ attachment, wires }: Order): Done {
  const steps = new Steps();
  const wiring = new Wiring({ kernel: () => kernel, steps });
  try {
    const mtu = wiring.connectLink(attachment, wires);
    return { mtu, took: steps.took };
  } catch (error) {
    return { refused: errorObject(error), took: steps.took };
  }
}
