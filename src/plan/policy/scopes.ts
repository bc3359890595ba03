// Room plan: in which namespaces a peer's pods are looked for: one by its name, or all whose labels match.
import { namespaceLabels } from './calico-labels.ts';
import { LabelIndex } from './label-index.ts';
import { sameLabels } from './pod.ts';
import type { PodPeer } from './rules.ts';

type Labels = Readonly<Record<string, string>>;

const NAME_LABEL = 'kubernetes.io/metadata.name';
const ALL = '';
const NAME_SCOPE = 'namespace ';

export class Scopes {
  readonly #namespaces = new Map<string, Labels>();
  /** Scopes of namespace selectors that some peer has, and how many have them. */
  readonly #refs = new Map<string, number>();
  readonly #index = new LabelIndex<string>();

  /** Scopes in which the namespace is. */
  of(namespace: string): string[] {
    return [nameScope(namespace), ...this.#index.matching(ALL, this.#labels(namespace))];
  }

  /** Every namespace has its name as a label; one that was not told of yet has nothing else. */
  #labels(namespace: string): Labels {
    return this.#namespaces.get(namespace) ?? namespaceLabels(namespace, { [NAME_LABEL]: namespace });
  }

  keyOf(scope: PodPeer['scope']): string {
    return 'namespace' in scope ? nameScope(scope.namespace) : `namespaces (${scope.namespaces.text})`;
  }

  retain(scope: PodPeer['scope']): string {
    const key = this.keyOf(scope);
    if ('namespace' in scope) return key;
    const refs = this.#refs.get(key) ?? 0;
    this.#refs.set(key, refs + 1);
    if (refs === 0) this.#index.add(ALL, scope.namespaces, key);
    return key;
  }

  release(scope: PodPeer['scope']): void {
    if ('namespace' in scope) return;
    const key = this.keyOf(scope);
    const refs = this.#refs.get(key)! - 1;
    if (refs > 0) this.#refs.set(key, refs);
    else {
      this.#refs.delete(key);
      this.#index.remove(ALL, scope.namespaces, key);
    }
  }

  /** Of these namespaces, those in the scope. */
  namespacesOf(scope: string, namespaces: ReadonlyMap<string, unknown>): string[] {
    const name = nameOf(scope);
    if (name !== undefined) return namespaces.has(name) ? [name] : [];
    return [...namespaces.keys()].filter((namespace) => this.of(namespace).includes(scope));
  }

  /** Whether the namespace is in other scopes than before. */
  setNamespace(name: string, labels: Labels): boolean {
    const known = this.#namespaces.get(name);
    const own = namespaceLabels(name, { ...labels, [NAME_LABEL]: name });
    if (known && sameLabels(known, own)) return false;
    const before = this.of(name);
    this.#namespaces.set(name, own);
    return before.join('\n') !== this.of(name).join('\n');
  }

  removeNamespace(name: string): boolean {
    const before = this.of(name);
    this.#namespaces.delete(name);
    return before.join('\n') !== this.of(name).join('\n');
  }
}

function nameScope(namespace: string): string {
  return `${NAME_SCOPE}${namespace}`;
}

function nameOf(scope: string): string | undefined {
  return scope.startsWith(NAME_SCOPE) ? scope.slice(NAME_SCOPE.length) : undefined;
}
