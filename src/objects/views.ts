// Room objects: what some readers need of an object and no more, so that the rest of it may change without their being told.
import type { KubeObject, Node, Pod } from './types.ts';

/** The header of a list or watch that asks for a view. A server that does not know it sends whole objects, which a reader prunes itself. */
export const VIEW_HEADER = 'podwire-view';

export interface View<T = KubeObject> {
  readonly name: string;
  /** Of whole objects and of pruned ones. */
  prune(object: T): T;
}

/** What nodes know of each other: where it is, which pods are its own, its labels, and whether it is Ready. Not how it does. */
export const NODE_PLACES: View<Node> = {
  name: 'node-places',
  prune({ apiVersion, kind, metadata, spec, status }) {
    const { name, uid, resourceVersion, labels } = metadata;
    const ready = status?.conditions?.find(({ type }) => type === 'Ready');
    return {
      apiVersion,
      kind,
      metadata: { name, uid, resourceVersion, ...(labels && { labels }) },
      spec: {
        ...(spec?.podCIDR !== undefined && { podCIDR: spec.podCIDR }),
        ...(spec?.podCIDRs && { podCIDRs: spec.podCIDRs }),
      },
      status: {
        ...(status?.addresses && { addresses: status.addresses }),
        ...(ready && { conditions: [{ type: ready.type, status: ready.status }] }),
      },
    } as Node;
  },
};

type Container = Pod['spec']['containers'][number];

const ENDED = ['Succeeded', 'Failed'];

/** What policies know of pods everywhere: labels, account, named ports, addresses, and whether they have ended. Not how they come up. */
export const POD_PEERS: View<Pod> = {
  name: 'pod-peers',
  prune({ apiVersion, kind, metadata, spec, status }) {
    const { name, namespace, uid, resourceVersion, labels } = metadata;
    const { nodeName, hostNetwork, serviceAccountName, containers, initContainers } = spec;
    const phase = ENDED.find((each) => each === status?.phase);
    return {
      apiVersion,
      kind,
      metadata: { name, namespace, uid, resourceVersion, ...(labels && { labels }) },
      spec: {
        ...(nodeName !== undefined && { nodeName }),
        ...(hostNetwork && { hostNetwork }),
        ...(serviceAccountName !== undefined && { serviceAccountName }),
        containers: containers.map(portsOf),
        ...(initContainers && { initContainers: initContainers.map(portsOf) }),
      },
      status: {
        ...(status?.podIP !== undefined && { podIP: status.podIP }),
        ...(status?.podIPs && { podIPs: status.podIPs }),
        ...(phase && { phase }),
      },
    } as Pod;
  },
};

function portsOf({ name, ports, restartPolicy }: Container): Pick<Container, 'name' | 'ports' | 'restartPolicy'> {
  const named = ports?.filter((port) => port.name !== undefined) ?? [];
  return { name, ...(restartPolicy && { restartPolicy }), ...(named.length > 0 && { ports: named }) };
}

const VIEWS = new Map([NODE_PLACES, POD_PEERS].map((view) => [view.name, view as unknown as View]));

/** Undefined for a name that nobody knows. */
export function viewNamed(name: string): View | undefined {
  return VIEWS.get(name);
}

/** Whether two revisions, both pruned, show the same. */
export function showSame(a: KubeObject, b: KubeObject): boolean {
  return contentOf(a) === contentOf(b);
}

/** Pruning puts the fields in one order. */
function contentOf({ metadata, ...rest }: KubeObject): string {
  return JSON.stringify([{ ...metadata, resourceVersion: undefined }, rest]);
}
