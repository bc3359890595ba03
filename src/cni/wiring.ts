// Room cni: an attachment put into the kernel and taken out of it: veth, addresses, routes, token buckets, rules.
import { familyOf } from '../addr/ip.ts';
import { hostPrefix } from '../addr/prefix.ts';
import type { KernelItem } from '../kernel/items.ts';
import { type ConntrackFilter, type Kernel, KernelError } from '../kernel/kernel.ts';
import { bucketOf, type Shape } from '../plan/bandwidth.ts';
import { loopbackSysctls, portsOf } from '../plan/host-ports.ts';
import { GATEWAYS, type PodRoute, planPod, podLinkName } from '../plan/pods.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeLink, getLink, type LinkState } from '../wire/netlink/link.ts';
import { deleteRootQdisc, replaceTokenBucket } from '../wire/netlink/qdisc.ts';
import type { Attachment } from './attachment.ts';
import type { Host } from './host.ts';
import { pathMtu } from './path-mtu.ts';
import { environment } from './request.ts';
import { leavingParts, needsRules, ownRules, type SharedPart, sharedParts, tablesOf } from './rules.ts';

/** The node's end of the veth. */
export function linkNameOf({
  network,
  containerID,
  ifname,
  sandboxId = `${network}/${containerID}/${ifname}`,
}: Pick<Attachment, 'network' | 'containerID' | 'ifname' | 'sandboxId'>): string {
  return podLinkName(sandboxId);
}

/** Of a veth that is ours to make. */
export interface Wires {
  /** Undefined: that of the node's way to everywhere else. */
  readonly mtu: number | undefined;
  readonly mac: string;
  /** Undefined: everything. */
  readonly routes: readonly PodRoute[] | undefined;
}

type Mtu = number | undefined;

/** Puts attachments into the kernel. */
export interface Connector {
  /** `wires`: undefined where an earlier plugin of the chain made the interface. Gives the MTU of the veth that was made. */
  connect(attachment: Attachment, wires: Wires | undefined): Promise<Mtu> | Mtu;
}

function linkItems(attachment: Attachment, { mac, routes }: Wires, mtu: number): KernelItem[] {
  const { network, containerID, ifname, netns, ips } = attachment;
  const sandboxId = `${network}/${containerID}/${ifname}`;
  const place = { sandboxId, podNamespace: network, podName: containerID, netns, ips, nodeIPs: [], mtu, ifname, mac };
  const families = new Set(ips.map(familyOf));
  return [
    ...(families.has(4) ? [{ kind: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' } as const] : []),
    ...(families.has(6) ? [{ kind: 'sysctl', key: 'net/ipv6/conf/all/forwarding', value: '1' } as const] : []),
    ...planPod({ ...place, ...(routes && { routes }) }).items,
    ...loopbackSysctls(linkNameOf(attachment), { ips, hostPorts: attachment.portMappings }),
    ...(attachment.mac !== undefined && families.has(4) ? [gatewayRoute(linkNameOf(attachment))] : []),
  ];
}

/**
 * A MAC that the runtime asks for is set once more by tuning behind us (podman's --mac-address), and with that the container forgets
 * its permanent neighbour. By this route, which goes with its link, the kernel answers ARP for the gateway; NDP it answers anyway.
 */
function gatewayRoute(link: string): KernelItem {
  // One destination with many routes: each needs a metric of its own.
  const metric = 1 + Number.parseInt(link.slice(2, 9), 16);
  return { kind: 'route', dst: hostPrefix(GATEWAYS[4]), type: 'local', link, metric };
}

export type WiringHost = Pick<Host, 'kernel' | 'steps' | 'sharedRules'>;

/** On the calling thread. */
export class Wiring implements Connector {
  readonly #host: WiringHost;

  constructor(host: WiringHost) {
    this.#host = host;
  }

  get #node(): Kernel {
    return this.#host.kernel();
  }

  /**
   * The veth with all that is on it, then the rules in one transaction. Throws a KernelError, and a CniError (4) when the
   * container has such an interface.
   */
  connect(attachment: Attachment, wires: Wires | undefined): Mtu {
    const mtu = this.connectLink(attachment, wires);
    this.connectRules(attachment);
    return mtu;
  }

  /** All but the rules. */
  connectLink(attachment: Attachment, wires: Wires | undefined): Mtu {
    const { steps } = this.#host;
    const mtu = wires && steps.measure('interface', () => this.#makeLink(attachment, wires));
    steps.measure('limits', () => this.#shape(attachment));
    return mtu;
  }

  connectRules(attachment: Attachment): void {
    if (needsRules(attachment)) this.#host.steps.measure('rules', () => this.#putRules(attachment));
    // A client that speaks all the time would be sent where it was sent before.
    this.#forgetFlows(attachment);
  }

  #makeLink(attachment: Attachment, wires: Wires): number {
    const mtu = wires.mtu ?? pathMtu(this.#node, attachment.ips.map(familyOf));
    try {
      this.#node.apply({ add: linkItems(attachment, wires, mtu), change: [], remove: [] });
    } catch (error) {
      if (error instanceof KernelError && error.code === 'EEXIST') refuseTaken(this.#node, attachment);
      throw error;
    }
    return mtu;
  }

  #putRules(attachment: Attachment): void {
    const { sharedRules: known } = this.#host;
    const own = ownRules(attachment);
    const put = (shared: readonly SharedPart[]) => {
      const add = [...shared.flatMap((part) => part.items()), ...own];
      this.#node.apply({ add, change: [], remove: [] });
    };
    const all = sharedParts(attachment);
    const missing = known?.missing(all, this.#node) ?? all;
    try {
      put(missing);
    } catch (error) {
      // Perhaps for what is not there after all: with everything it succeeds, or says what is wrong.
      known?.forget();
      if (missing.length === all.length) throw error;
      put(all);
    }
    known?.sent(all);
  }

  /** With what nobody else needs. `others`: whether there is such a one among them. Succeeds when all is gone already. */
  disconnectRules(attachment: Attachment, others: (test: (other: Attachment) => boolean) => boolean): void {
    const remove = others(needsRules) ? this.#rulesWithout(attachment, others) : this.#allRules();
    this.#node.apply({ add: [], change: [], remove });
    this.#forgetFlows(attachment);
  }

  #rulesWithout(attachment: Attachment, others: (test: (other: Attachment) => boolean) => boolean): KernelItem[] {
    const has = (name: string) => (other: Attachment) => leavingParts(other).some((part) => part.name === name);
    const unused = leavingParts(attachment).filter(({ name }) => !others(has(name)));
    this.#host.sharedRules?.forget(unused);
    return [...unused.flatMap((part) => part.items()), ...ownRules(attachment)];
  }

  #allRules(): KernelItem[] {
    this.#host.sharedRules?.forget();
    return tablesOf([4, 6]);
  }

  /** All but the rules. Succeeds when it is gone already. */
  disconnect(attachment: Attachment): void {
    if (attachment.ownsLink) this.#node.apply({ add: [], change: [], remove: [vethOf(attachment)] });
    else unshape(attachment);
  }

  #forgetFlows({ portMappings }: Attachment): void {
    const udp = portMappings.filter(({ protocol }) => protocol === 'udp');
    const filters = ([4, 6] as const)
      .flatMap((family) => portsOf(family, udp))
      .map(
        ({ hostIP, hostPort }): ConntrackFilter => ({
          protocol: 'UDP',
          originalDstPort: hostPort,
          ...(hostIP !== undefined && { originalDst: hostIP }),
        }),
      );
    if (filters.length > 0) this.#node.flushConntrack(filters);
  }

  /** What the container receives waits at the node's end of its veth, what it sends at its own end. */
  #shape(attachment: Attachment): void {
    const { ingress, egress } = attachment.bandwidth;
    if (!ingress && !egress) return;
    const { outer, inner } = endsOf(attachment);
    if (ingress && outer !== undefined) setBucket(undefined, outer, ingress);
    if (egress) setBucket(attachment.netns, inner.index, egress);
  }
}

/** Throws a CniError (4) when the container has an interface of that name. */
export function refuseTaken(kernel: Kernel, { netns, ifname }: Pick<Attachment, 'netns' | 'ifname'>): void {
  if (kernel.hasLink(netns, ifname)) throw environment('CNI_IFNAME', `${ifname} exists already in ${netns}`);
}

export function vethOf(attachment: Attachment): KernelItem {
  const peer = { name: attachment.ifname, netns: attachment.netns };
  return { kind: 'link', name: linkNameOf(attachment), mtu: 0, up: true, type: { kind: 'veth', peer } };
}

/** The container's end, and the index of the node's where it is a veth. */
export function endsOf({ netns, ifname }: Attachment): {
  readonly outer: number | undefined;
  readonly inner: LinkState;
} {
  const inner = linkIn(netns, ifname);
  if (!inner) throw new Error(`there is no ${ifname} in ${netns}`);
  return { outer: inner.kind === 'veth' ? inner.peerIndex : undefined, inner };
}

export function linkIn(netns: string | undefined, name: string): LinkState | undefined {
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  const [answer] = socket.ask([getLink({ name })]);
  return answer && !(answer instanceof NetlinkError) ? decodeLink(answer) : undefined;
}

function setBucket(netns: string | undefined, index: number, shape: Shape): void {
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  socket.request(replaceTokenBucket(index, bucketOf(shape)));
}

/** On an interface that another plugin takes away later, or has already. */
function unshape(attachment: Attachment): void {
  const { ingress, egress } = attachment.bandwidth;
  if (!ingress && !egress) return;
  try {
    const { outer, inner } = endsOf(attachment);
    const ends: [string | undefined, number | undefined][] = [
      [undefined, ingress && outer],
      [attachment.netns, egress && inner.index],
    ];
    for (const [netns, index] of ends) {
      if (index === undefined) continue;
      using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
      socket.request(deleteRootQdisc(index));
    }
  } catch {
    // The namespace, the interface or the bucket is gone.
  }
}
