// Room controllers: a ServiceCIDR says whether it is ready, and stays until no Service needs its addresses.
import { prefixContains } from '../addr/prefix.ts';
import { isConflict, isNotFound } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { IPAddress, ServiceCIDR } from '../objects/types.ts';
import type { Controller, ControllerContext } from './controller.ts';
import { createQueue } from './queue.ts';

const FINALIZER = 'networking.k8s.io/service-cidr-finalizer';
const READY = { status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready' };
const TERMINATING = {
  status: 'False',
  reason: 'Terminating',
  message:
    'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR that contains them',
};

export function startServiceCIDRs({ client, informers }: ControllerContext): Controller {
  const ranges = informers.of('ServiceCIDR');
  const addresses = informers.of('IPAddress');
  const queue = createQueue('ServiceCIDR', sync);
  const leaving = () => [...ranges.list()].filter(({ metadata }) => metadata.deletionTimestamp);
  ranges.onChange(({ object }) => {
    queue.add(object.metadata.name);
    for (const { metadata } of leaving()) queue.add(metadata.name);
  });
  addresses.onChange(({ type, object }) => {
    if (type !== 'delete') return;
    for (const range of leaving()) if (contains(range, object.metadata.name)) queue.add(range.metadata.name);
  });

  async function sync(name: string): Promise<void> {
    const range = ranges.get(name);
    if (!range) return;
    try {
      if (!range.metadata.deletionTimestamp) await welcome(range);
      else if (isNeeded(range)) await tell(range, TERMINATING);
      else await release(range);
    } catch (error) {
      // Somebody else wrote it: what came of that is on its way here.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async function welcome(range: ServiceCIDR): Promise<void> {
    const { finalizers = [] } = range.metadata;
    if (finalizers.includes(FINALIZER)) return tell(range, READY);
    const metadata = { ...range.metadata, finalizers: [...finalizers, FINALIZER] };
    await tell(await client.update('ServiceCIDR', { ...range, metadata }), READY);
  }

  async function release(range: ServiceCIDR): Promise<void> {
    const finalizers = (range.metadata.finalizers ?? []).filter((each) => each !== FINALIZER);
    if (finalizers.length === range.metadata.finalizers?.length) return;
    await client.update('ServiceCIDR', { ...range, metadata: { ...range.metadata, finalizers } });
  }

  async function tell(range: ServiceCIDR, told: typeof READY): Promise<void> {
    const before = range.status?.conditions?.find(({ type }) => type === 'Ready');
    if (before?.status === told.status && before.reason === told.reason) return;
    const condition = { type: 'Ready', ...told, lastTransitionTime: timestamp(Date.now()) };
    await client.update('ServiceCIDR', { ...range, status: { conditions: [condition] } }, 'status');
  }

  /** Some address in use lies in it and in no other range. */
  function isNeeded(range: ServiceCIDR): boolean {
    const others = [...ranges.list()].filter((other) => other !== range && !other.metadata.deletionTimestamp);
    const onlyHere = ({ metadata }: IPAddress) =>
      contains(range, metadata.name) && !others.some((other) => contains(other, metadata.name));
    return [...addresses.list()].some(onlyHere);
  }

  return { close: queue.close };
}

function contains({ spec }: ServiceCIDR, ip: string): boolean {
  return (spec?.cidrs ?? []).some((cidr) => prefixContains(cidr, ip));
}
