// Room controllers: the LBPools as they are: read, counted, and the one of the cluster's config made.
import type { IP } from '../../addr/ip.ts';
import { isAlreadyExists } from '../../objects/status.ts';
import type { LBPool } from '../../objects/types.ts';
import { logger } from '../../observe/log.ts';
import type { ControllerContext } from '../controller.ts';
import { createQueue, type Queue } from '../queue.ts';
import { acceptanceOf, withAcceptance } from './acceptance.ts';
import type { AddressBook } from './book.ts';
import { countPool, inOrder, type Pool, readPool, type Supply } from './choose.ts';

const log = logger('lb');
/** The pool that the cluster's config describes. */
const DEFAULT_POOL = 'default';

export class Pools {
  readonly #context: ControllerContext;
  readonly #book: AddressBook;
  readonly #counts: Queue;
  readonly #read = new Map<string, Pool>();
  readonly hints = new Map<string, bigint>();
  /** The pool of the config is there. */
  readonly ready: Promise<void>;
  #ordered: readonly Pool[] = [];
  #reserved: ReadonlySet<IP> | undefined;

  /** `onChange`: what can be had is another than before. */
  constructor(context: ControllerContext, book: AddressBook, onChange: () => void) {
    this.#context = context;
    this.#book = book;
    this.#counts = createQueue('LBPoolStatus', (name) => this.#writeStatus(name));
    const { informers } = context;
    informers.of('LBPool').onChange((change) => {
      this.#set(change.object, change.type === 'delete');
      // Its status, which we write ourselves, changes nothing.
      if (change.type === 'update' && change.object.metadata.generation === change.old.metadata.generation) return;
      this.hints.clear();
      onChange();
      this.count();
    });
    informers.of('Node').onChange((change) => {
      if (change.type === 'update') return;
      this.#reserved = undefined;
      this.count();
    });
    this.ready = this.#ensureDefault();
  }

  /** In the order in which they are tried. */
  get pools(): readonly Pool[] {
    return this.#ordered;
  }

  supply(namespace: string | undefined): Omit<Supply, 'book'> {
    return {
      pools: this.#ordered,
      reserved: this.#reservedNow(),
      namespace: namespace === undefined ? undefined : this.#context.informers.of('Namespace').get(namespace),
      hints: this.hints,
    };
  }

  #set(object: LBPool, gone: boolean): void {
    if (gone) this.#read.delete(object.metadata.name);
    else this.#read.set(object.metadata.name, readPool(object));
    this.#ordered = inOrder(this.#read.values());
  }

  #reservedNow(): ReadonlySet<IP> {
    this.#reserved ??= new Set([
      ...(this.#context.options.loadBalancer?.reserved ?? []),
      ...[...this.#context.informers.of('Node').list()].flatMap(({ status }) =>
        (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
      ),
    ]);
    return this.#reserved;
  }

  async #ensureDefault(): Promise<void> {
    const addresses = [...(this.#context.options.loadBalancer?.addresses ?? [])];
    if (addresses.length === 0 || this.#context.informers.of('LBPool').get(DEFAULT_POOL)) return;
    try {
      const pool = { metadata: { name: DEFAULT_POOL }, spec: { addresses } };
      await this.#context.informers.echo('LBPool').written(await this.#context.client.create('LBPool', pool));
    } catch (error) {
      if (!isAlreadyExists(error)) log.error({ err: error }, 'the LBPool of the config could not be made');
    }
  }

  /** Writes how many are in use, where that changed. */
  count(): void {
    for (const name of this.#read.keys()) this.#counts.add(name);
  }

  async #writeStatus(name: string): Promise<void> {
    const pool = this.#read.get(name);
    if (!pool || pool.object.metadata.deletionTimestamp) return;
    const counted = countPool(pool, { book: this.#book, reserved: this.#reservedNow() });
    const said = acceptanceOf(pool, counted.assigned + counted.free, this.#ordered);
    const conditions = withAcceptance(pool.object, said);
    const { status } = pool.object;
    if (!conditions && status?.assigned === counted.assigned && status.free === counted.free) return;
    const patch = { status: { ...counted, ...(conditions && { conditions }) } };
    const written = await this.#context.client.patch('LBPool', { name, subresource: 'status' }, patch);
    await this.#context.informers.echo('LBPool').written(written);
  }

  close(): void {
    this.#counts.close();
  }
}
