// Room node: /etc/hosts, /etc/hostname and /etc/resolv.conf as each pod sees them.
import type { IP } from '../addr/ip.ts';
import type { Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';

/** Of utsname (sethostname(2)). */
const MAX_HOSTNAME = 64;

export interface DnsSettings {
  readonly clusterDomain: string;
  /** Service addresses of DNS. */
  readonly dnsIPs: readonly IP[];
  /** What the node itself asks: `address` or `address#port`. */
  readonly dnsUpstreams: readonly string[];
  /** Of a node of the box. */
  readonly netns?: string;
}

/**
 * spec.hostnameOverride, which is not for the pod's names in DNS (KEP-4762), else spec.hostname, or the pod's name cut to what a
 * hostname may be; the node's under hostNetwork.
 */
export function podHostname({ metadata, spec }: Pod, nodeName: string): string {
  if (spec.hostNetwork) return nodeName;
  return spec.hostnameOverride || spec.hostname || metadata.name.slice(0, 63).replace(/[-.]+$/, '');
}

/** What hostname(1) says within the pod. Throws a Fault when it is longer than the kernel takes. */
export function sandboxHostname(pod: Pod, nodeName: string, clusterDomain: string): string {
  const hostname = podHostname(pod, nodeName);
  const domain = podDomain(pod, clusterDomain);
  if (!pod.spec.setHostnameAsFQDN || !domain) return hostname;
  const full = `${hostname}.${domain}`;
  if (full.length <= MAX_HOSTNAME) return full;
  throw new Fault(
    `Failed to construct FQDN from pod hostname and cluster domain, FQDN ${full} is too long (${MAX_HOSTNAME} characters is the max, ${full.length} characters requested)`,
  );
}

/** In which its subdomain gives it a name as it sees itself; empty without one. */
function podDomain({ spec, metadata }: Pod, clusterDomain: string): string {
  if (spec.hostNetwork || spec.hostnameOverride || !spec.subdomain) return '';
  return `${spec.subdomain}.${metadata.namespace}.svc.${clusterDomain}`;
}

export function hostsFile(pod: Pod, hostname: string, podIPs: readonly IP[], clusterDomain: string): string {
  const { spec } = pod;
  const lines = [
    spec.hostNetwork ? '# Kubernetes-managed hosts file (host network).' : '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
  ];
  const domain = podDomain(pod, clusterDomain);
  const full = domain ? `${hostname}.${domain}\t` : '';
  for (const ip of podIPs) lines.push(`${ip}\t${full}${hostname}`);
  if (spec.hostAliases?.length) {
    lines.push('', '# Entries added by HostAliases.');
    for (const { ip, hostnames } of spec.hostAliases) lines.push([ip, ...(hostnames ?? [])].join('\t'));
  }
  return `${lines.join('\n')}\n`;
}

/** glibc reads three name servers, Kubernetes 32 search domains. */
const NAMESERVERS = 3;
const SEARCHES = 32;

/** Whether the pod asks the cluster's DNS first. */
function asksCluster({ spec }: Pod): boolean {
  const policy = spec.dnsPolicy ?? 'ClusterFirst';
  return policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !spec.hostNetwork);
}

/** The domains in which a pod's resolver looks for names with few dots. */
export function podSearches(pod: Pod, { clusterDomain }: Pick<DnsSettings, 'clusterDomain'>): string[] {
  const domain = `svc.${clusterDomain}`;
  const searches = asksCluster(pod) ? [`${pod.metadata.namespace}.${domain}`, domain, clusterDomain] : [];
  return unique([...searches, ...(pod.spec.dnsConfig?.searches ?? [])]).slice(0, SEARCHES);
}

export function resolvConf(pod: Pod, settings: DnsSettings): string {
  const { spec } = pod;
  const own = spec.dnsConfig ?? {};
  const cluster = asksCluster(pod);
  const nameservers = spec.dnsPolicy === 'None' ? [] : cluster ? settings.dnsIPs : nodeResolvers(settings);
  const options = new Map<string, string | undefined>(cluster ? [['ndots', '5']] : []);
  for (const { name, value } of own.options ?? []) if (name) options.set(name, value);
  const lines = [
    ['search', ...podSearches(pod, settings)],
    ...unique([...nameservers, ...(own.nameservers ?? [])])
      .slice(0, NAMESERVERS)
      .map((ip) => ['nameserver', ip]),
    ['options', ...[...options].map(([name, value]) => (value === undefined ? name : `${name}:${value}`))],
  ];
  return lines
    .filter((line) => line.length > 1)
    .map((line) => `${line.join(' ')}\n`)
    .join('');
}

/** From a namespace of the box the machine's resolvers cannot be reached; its own DNS server asks them for it. */
function nodeResolvers({ netns, dnsIPs, dnsUpstreams }: DnsSettings): readonly string[] {
  return netns ? dnsIPs : dnsUpstreams.map((upstream) => upstream.split('#')[0]!);
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
