// Room plan: classes of peers: those of which the rules of this node's pods say the same share one number.
import { createHash } from 'node:crypto';
import type { Level } from './base.ts';

/** `tiers`: of what rules of several tiers ask at once (tier-policies.ts). */
export type ClassLevel = Level | 'tiers';

export interface PeerClass {
  readonly id: number;
  readonly level: ClassLevel;
  /** Keys of the peers, sorted; a named port's with its number. */
  readonly groups: readonly string[];
}

/** Between a peer and the port's name that a rule asks for there; and before the number that this name has. */
export function namedGroup(peer: string, port: string): string {
  return `${peer}#${port}`;
}

/** As the pods' rules know the group: without the number. */
export function withoutNumber(group: string): { readonly group: string; readonly number: number | undefined } {
  const named = /^(.*#.*)=(\d+)$/s.exec(group);
  return named ? { group: named[1]!, number: Number(named[2]) } : { group, number: undefined };
}

/** Classes that some address is of. */
export class PeerClasses {
  readonly #classes = new Map<string, { readonly peers: PeerClass; refs: number }>();
  readonly #ids = new Map<number, string>();
  /** Group (without a number) to its classes. */
  readonly #byGroup = new Map<string, Set<PeerClass>>();
  /** Classes that came or went since they were last asked for. */
  readonly #changed = new Set<PeerClass>();

  /** Undefined for an address of which no rule speaks. */
  retain(level: ClassLevel, groups: readonly string[]): PeerClass | undefined {
    if (groups.length === 0) return undefined;
    const key = keyOf(level, groups);
    const known = this.#classes.get(key);
    if (known) {
      known.refs++;
      return known.peers;
    }
    const peers: PeerClass = { id: this.#number(key), level, groups };
    this.#classes.set(key, { peers, refs: 1 });
    this.#ids.set(peers.id, key);
    for (const group of groups) {
      const { group: name } = withoutNumber(group);
      this.#byGroup.set(name, (this.#byGroup.get(name) ?? new Set()).add(peers));
    }
    this.#changed.add(peers);
    return peers;
  }

  release(peers: PeerClass): void {
    const key = keyOf(peers.level, peers.groups);
    const known = this.#classes.get(key);
    if (!known || --known.refs > 0) return;
    this.#classes.delete(key);
    this.#ids.delete(peers.id);
    for (const group of peers.groups) {
      const { group: name } = withoutNumber(group);
      const classes = this.#byGroup.get(name);
      classes?.delete(peers);
      if (classes?.size === 0) this.#byGroup.delete(name);
    }
    this.#changed.add(peers);
  }

  with(group: string): Iterable<PeerClass> {
    return this.#byGroup.get(group) ?? [];
  }

  isLive(peers: PeerClass): boolean {
    return this.at(peers) === peers;
  }

  /** The class that stands for the same peers now. */
  at({ level, groups }: PeerClass): PeerClass | undefined {
    return this.#classes.get(keyOf(level, groups))?.peers;
  }

  takeChanged(): PeerClass[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** The same after a restart: what the kernel holds from before then means what it meant. 0 is everybody's. */
  #number(key: string): number {
    let id = createHash('sha1').update(key).digest().readUInt32BE();
    while (id === 0 || this.#ids.has(id)) id = (id + 1) >>> 0;
    return id;
  }
}

function keyOf(level: ClassLevel, groups: readonly string[]): string {
  return `${level}\n${groups.join('\n')}`;
}
