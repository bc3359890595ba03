// Room plan: groups of peers of which rules of this node's pods speak, and which pods do: what is no concern of theirs is not in the kernel.

interface Interest<T> {
  /** Keys of the pods. */
  readonly users: Set<string>;
  readonly about: T;
}

export class Interests<T> {
  readonly #interests = new Map<string, Interest<T>>();

  has(group: string): boolean {
    return this.#interests.has(group);
  }

  get size(): number {
    return this.#interests.size;
  }

  users(group: string): Iterable<string> {
    return this.#interests.get(group)?.users ?? [];
  }

  /** Each group with what is known of it. */
  *entries(): Iterable<readonly [group: string, about: T]> {
    for (const [group, { about }] of this.#interests) yield [group, about];
  }

  /** `touch` is told of groups of which nobody spoke before, or nobody speaks now. */
  change(
    user: string,
    old: ReadonlySet<string>,
    wanted: ReadonlyMap<string, T>,
    touch: (group: string, about: T, spoken: boolean) => void,
  ): void {
    for (const group of old) {
      if (wanted.has(group)) continue;
      const { users, about } = this.#interests.get(group)!;
      users.delete(user);
      if (users.size > 0) continue;
      this.#interests.delete(group);
      touch(group, about, false);
    }
    for (const [group, about] of wanted) {
      const known = this.#interests.get(group);
      known?.users.add(user);
      if (known) continue;
      this.#interests.set(group, { users: new Set([user]), about });
      touch(group, about, true);
    }
  }
}
