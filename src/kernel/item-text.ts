// Room kernel: items as an operator would type them, for messages, status and tests.
import type { FastRoute, FrameSwitch, KernelItem, Link, Route } from './items.ts';

/** One line, in the words of `ip`, `bridge`, `sysctl` and `nft`; what lies in another namespace says so. */
export function itemText(item: KernelItem): string {
  const where = 'netns' in item && item.netns !== undefined ? `[${item.netns.split('/').at(-1)}] ` : '';
  return where + bareText(item);
}

function bareText(item: KernelItem): string {
  switch (item.kind) {
    case 'link':
      return linkText(item);
    case 'address':
      return `addr ${item.address} dev ${item.link}${item.noPrefixRoute ? ' noprefixroute' : ''}`;
    case 'route':
      return routeText(item);
    case 'neighbour':
      return `neigh ${item.ip} lladdr ${item.mac} dev ${item.link} nud permanent`;
    case 'proxy':
      return `neigh proxy ${item.ip} dev ${item.link}`;
    case 'fdb':
      return `fdb ${item.mac} dev ${item.link} dst ${item.dst}`;
    case 'ipip':
      return `ipip dev ${item.link} local ${item.local} by eBPF`;
    case 'ipip-peer':
      return `ipip ${item.dst} dev ${item.link} remote ${item.remote}${item.receiveOnly ? ' receive only' : ''}`;
    case 'bucket':
      return `qdisc dev ${item.link} root tbf rate ${8 * item.rate}bit burst ${item.burst} limit ${item.limit}`;
    case 'fast-path':
      return `fast path dev ${item.link} from ${item.from} by eBPF${item.vxlan ? ', and out of vxlan' : ''}`;
    case 'fast-pod':
      return `fast path to ${item.ip} dev ${item.link}`;
    case 'fast-route':
      return `fast path to ${item.dst} via ${item.via} dev ${item.link}${headText(item)}`;
    case 'switch':
      return `switch ${item.bridge} by eBPF: ${item.ports.map(portText).join(', ')}`;
    case 'sysctl':
      return `${item.key.replaceAll('/', '.')}=${item.value}`;
    case 'table':
      return `table ${item.family} ${item.table}`;
    case 'chain':
      return `chain ${item.family} ${item.table} ${item.chain}`;
    case 'set':
      return `${item.data ? 'map' : 'set'} ${item.family} ${item.table} ${item.set}`;
    case 'element':
      return `element ${item.family} ${item.table} ${item.set} { ${item.key.join(' . ')} }`;
  }
}

function headText({ straight }: FastRoute): string {
  if (!straight) return '';
  const { to, ipip, vxlan } = straight;
  if (vxlan) return ` straight to ${to} vxlan id ${vxlan.vni} local ${vxlan.local} remote ${vxlan.remote}`;
  return ` straight to ${to}${ipip ? ` ipip local ${ipip.local} remote ${ipip.remote}` : ''}`;
}

function portText({ link, mac, open }: FrameSwitch['ports'][number]): string {
  return `${link} ${open ? mac : 'closed'}`;
}

function linkText({ name, mtu, mac, master, up, type }: Link): string {
  const words = [`link ${name} mtu ${mtu}`, mac && `address ${mac}`, master && `master ${master}`, up ? 'up' : 'down'];
  if (type.kind !== 'existing') words.push(`type ${type.kind}`);
  if (type.kind === 'veth' && type.peer.name) words.push(`peer ${type.peer.name}`);
  if (type.kind === 'ipip') words.push(`local ${type.local} remote any`);
  if (type.kind === 'vxlan') words.push(`id ${type.vni} local ${type.local} dstport ${type.port} nolearning`);
  return words.filter(Boolean).join(' ');
}

function routeText({ type, dst, via, link, onlink, src, metric, mtu }: Route): string {
  const words = [
    'route',
    type !== 'unicast' && type,
    dst,
    via && `via ${via}`,
    link && `dev ${link}`,
    onlink && 'onlink',
    src && `src ${src}`,
    metric && `metric ${metric}`,
    mtu && `mtu ${mtu}`,
  ];
  return words.filter(Boolean).join(' ');
}
