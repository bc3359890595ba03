// Room controllers: gives Services of type LoadBalancer their addresses, and takes them back.
import { isDeepStrictEqual } from 'node:util';
import type { IP } from '../../addr/ip.ts';
import { isNotFound } from '../../objects/status.ts';
import { timestamp } from '../../objects/time.ts';
import { objectKey, type Service } from '../../objects/types.ts';
import { logger } from '../../observe/log.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue, type Queue } from '../queue.ts';
import { AddressBook } from './book.ts';
import { type Choice, choose, hintFreed, poolOf } from './choose.ts';
import { Pools } from './pools.ts';
import { addressesIn, holderOf, isOurs, requestOf } from './request.ts';

const log = logger('lb');
/** As cloud controllers have it: the object stays until its addresses are given back. */
export const CLEANUP_FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';
export const ASSIGNED_CONDITION = 'podwire.io/AddressAssigned';

type Conditions = NonNullable<NonNullable<Service['status']>['conditions']>;
interface Outcome {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export function startLoadBalancerAddresses(context: ControllerContext): Controller {
  return new LoadBalancerAddresses(context);
}

class LoadBalancerAddresses implements Controller {
  readonly #context: ControllerContext;
  readonly #book = new AddressBook();
  readonly #pools: Pools;
  readonly #queue: Queue;
  /** Services that have not all they want. */
  readonly #waiting = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = createQueue('LoadBalancerAddresses', (key) => this.#sync(key));
    const services = context.informers.of('Service');
    // What Services have they keep, whatever is asked for first now.
    const known = [...services.list()].filter((service) => isOurs(service) && hasFinalizer(service));
    for (const service of known) this.#book.assign(holderOf(service), addressesIn(service));
    this.#pools = new Pools(context, this.#book, () => {
      for (const service of services.list()) if (isOurs(service)) this.#queue.add(objectKey(service));
    });
    services.onChange(({ object }) => {
      const key = objectKey(object);
      if (isOurs(object) || hasFinalizer(object) || hasCondition(object) || this.#book.of(key).length > 0) {
        this.#queue.add(key);
      }
    });
    context.informers.of('Namespace').onChange(({ type }) => {
      if (type === 'update') this.#wake();
    });
  }

  async #sync(key: string): Promise<void> {
    await this.#pools.ready;
    const service = this.#context.informers.of('Service').get(key);
    if (service && !service.metadata.deletionTimestamp && isOurs(service)) await this.#assign(key, service);
    else {
      this.#waiting.delete(key);
      if (service) await this.#cleanUp(key, service);
      this.#freed(this.#book.release(key));
    }
  }

  /** Of a Service that is another's, or has had nothing, there is nothing to clean up. */
  async #cleanUp(key: string, service: Service): Promise<void> {
    if (!hasFinalizer(service) && !hasCondition(service)) return;
    const had = this.#book.of(key);
    const { loadBalancer, conditions = [] } = service.status ?? {};
    const rest = conditions.filter(({ type }) => type !== ASSIGNED_CONDITION);
    let current = service;
    if (loadBalancer?.ingress?.length || rest.length < conditions.length) {
      current = await this.#patchStatus(service, { loadBalancer: { ingress: null }, conditions: rest });
    }
    if (!hasFinalizer(current)) return;
    const finalizers = current.metadata.finalizers!.filter((name) => name !== CLEANUP_FINALIZER);
    try {
      await this.#patch(current, { metadata: { finalizers } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (had.length > 0) log.info({ service: key, addresses: had }, 'load balancer addresses given back');
  }

  async #assign(key: string, service: Service): Promise<void> {
    const request = requestOf(service);
    const supply = { ...this.#pools.supply(service.metadata.namespace), book: this.#book };
    const current = this.#book.of(key);
    const choice: Choice | { reason: string; message: string } =
      typeof request === 'string' ? { reason: 'InvalidRequest', message: request } : choose(request, current, supply);
    const ips = 'ips' in choice ? choice.ips : [];
    // Before anything is awaited: nobody else may choose the same.
    this.#freed(this.#book.assign(holderOf(service), ips));
    if (!('ips' in choice) || choice.missing) this.#waiting.add(key);
    else this.#waiting.delete(key);
    const outcome: Outcome =
      'ips' in choice
        ? { status: 'True', reason: 'Assigned', message: this.#assignedText(choice) }
        : { status: 'False', ...choice };
    await this.#write(service, ips, outcome);
  }

  #assignedText({ ips, missing }: { ips: readonly IP[]; missing?: string }): string {
    const texts = ips.map((ip) => {
      const pool = poolOf(this.#pools.pools, ip);
      return pool ? `${ip} of LBPool ${pool.name}` : `${ip}, which no LBPool has any more: the Service keeps it`;
    });
    return [...texts, ...(missing ? [missing] : [])].join('; ');
  }

  async #write(service: Service, ips: readonly IP[], outcome: Outcome): Promise<void> {
    let current = service;
    if (ips.length > 0 && !hasFinalizer(service)) {
      const finalizers = [...(service.metadata.finalizers ?? []), CLEANUP_FINALIZER];
      current = await this.#patch(service, { metadata: { finalizers } });
    }
    const ingress = ips.map((ip) => ({ ip, ipMode: 'VIP' }));
    const before = current.status?.conditions?.find(({ type }) => type === ASSIGNED_CONDITION);
    const told = before?.message === outcome.message && before.status === outcome.status;
    if (told && isDeepStrictEqual(addressesIn(current), ips)) return;
    const conditions = withCondition(current, outcome);
    await this.#patchStatus(current, { loadBalancer: { ingress: ips.length > 0 ? ingress : null }, conditions });
    if (!told) this.#tell(service, ips, outcome);
  }

  #tell(service: Service, ips: readonly IP[], { status, reason, message }: Outcome): void {
    const events = this.#context.recorder('podwire-lb');
    const outside = ips.some((ip) => !poolOf(this.#pools.pools, ip));
    if (status === 'False') events.event(service, 'Warning', 'AllocationFailed', message);
    else if (outside) events.event(service, 'Warning', 'AddressOutsidePools', message);
    else events.event(service, 'Normal', 'AddressAssigned', message);
    const told = { service: objectKey(service), addresses: ips, reason };
    if (status === 'False') log.warn(told, message);
    else log.info(told, message);
  }

  #patchStatus(service: Service, status: object): Promise<Service> {
    return this.#patch(service, { status }, 'status');
  }

  async #patch(
    service: Service,
    patch: { metadata?: object; status?: object },
    subresource?: string,
  ): Promise<Service> {
    const { name, namespace, resourceVersion } = service.metadata;
    const target = { name, namespace, ...(subresource && { subresource }) };
    const guarded = { ...patch, metadata: { ...patch.metadata, resourceVersion } };
    const written = await this.#context.client.patch('Service', target, guarded);
    await this.#context.informers.echo('Service').written(written);
    return written;
  }

  #freed(ips: readonly IP[]): void {
    hintFreed(this.#pools.hints, this.#pools.pools, ips);
    this.#pools.count();
    if (ips.length > 0) this.#wake();
  }

  #wake(): void {
    for (const key of this.#waiting) this.#queue.add(key);
  }

  close(): void {
    this.#queue.close();
    this.#pools.close();
  }
}

function hasFinalizer({ metadata }: Service): boolean {
  return metadata.finalizers?.includes(CLEANUP_FINALIZER) ?? false;
}

function hasCondition({ status }: Service): boolean {
  return status?.conditions?.some(({ type }) => type === ASSIGNED_CONDITION) ?? false;
}

function withCondition(service: Service, outcome: Outcome): Conditions {
  const before = service.status?.conditions ?? [];
  const old = before.find(({ type }) => type === ASSIGNED_CONDITION);
  const lastTransitionTime = old?.status === outcome.status ? old.lastTransitionTime : timestamp(Date.now());
  const condition = { type: ASSIGNED_CONDITION, ...outcome, lastTransitionTime };
  return [...before.filter(({ type }) => type !== ASSIGNED_CONDITION), condition];
}
