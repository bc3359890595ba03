// Room dns: wires one node's DNS server: informers to records, records to chain, chain to listeners.
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import { Fault } from '../observe/fault.ts';
import { podwireVersion } from '../observe/install.ts';
import { logger } from '../observe/log.ts';
import { SysError } from '../sys/ffi.ts';
import { preferShortSlices } from '../sys/scheduling.ts';
import type { SearchesOf } from './autopath.ts';
import { chain } from './chain.ts';
import type { ForwardCounts } from './forward.ts';
import { staticHosts } from './hosts.ts';
import { listenTcp } from './listen-tcp.ts';
import { listenUdp, type UdpOptions } from './listen-udp.ts';
import type { Listener } from './listener.ts';
import { type Outside, openOutside } from './outside.ts';
import { PacketCache } from './packet-cache.ts';
import { serveDnsPages } from './pages.ts';
import { ClusterRecords } from './records.ts';
import { type Respond, responder } from './respond.ts';
import { DEFAULT_SETTINGS, type ServerSettings } from './settings.ts';
import { type DnsCounts, DnsStats } from './stats.ts';
import type { UpstreamStatus } from './upstream-set.ts';
import { unlessOwn } from './upstream-socket.ts';
import { allSynced, type DnsInformers, watchRecords } from './watch.ts';

/** Bytes of ready-made answers: 30,000 of one address, or 3,000 of ten in each order. Taken up as they come. */
const PACKETS = 8 << 20;

/** The fields of a node's options that DNS needs. */
export interface DnsOptions {
  readonly nodeName: string;
  readonly clusterDomain: string;
  readonly dnsIPs: readonly IP[];
  /** `address` or `address#port`. */
  readonly dnsUpstreams: readonly string[];
  readonly clusterPodCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  readonly nodeCIDRs: readonly CIDR[];
  /** Where metrics are served beside the DNS addresses. */
  readonly nodeIPs?: readonly IP[];
  readonly dns?: ServerSettings;
}

export interface StartDns {
  readonly informers: DnsInformers;
  readonly options: DnsOptions;
  /** Where upstreams are reached: the process's first namespace by default, as a node has no way out of its own. */
  readonly upstreamNetns?: string;
  /** Other than 53 in tests that are not root. */
  readonly port?: number;
  /** Search lists of this node's pods, for autopath. */
  readonly searchesOf?: SearchesOf;
  /** Called once the names of the cluster are answered. */
  readonly onSynced?: () => void;
}

export interface DnsStatus extends DnsCounts {
  readonly synced: boolean;
  readonly upstreams: readonly UpstreamStatus[];
  /** Of answers from outside: how many are kept, and how often one was there. */
  readonly cache: { readonly entries: number; readonly hits: number; readonly misses: number };
}

export interface DnsServer {
  /** Settles once the cluster's names are answered on every address. */
  readonly ready: Promise<void>;
  status(): DnsStatus;
  close(): void;
}

/**
 * Listens at once, in the calling thread's network namespace, and answers for the cluster when the informers have
 * synced. Keeps answering from what it knows while the API server is away. Throws a Fault when an address cannot be bound.
 */
export function startDns({ informers, options, upstreamNetns, port = 53, searchesOf, onSynced }: StartDns): DnsServer {
  const log = logger('dns', { node: options.nodeName });
  const settings = options.dns ?? DEFAULT_SETTINGS;
  // Pods wait for every answer, and an answer takes some microseconds: not behind a slice of some milliseconds.
  preferShortSlices();
  const packets = new PacketCache(PACKETS);
  const records = new ClusterRecords({
    zone: options.clusterDomain,
    dnsIPs: options.dnsIPs,
    ttl: settings.ttl,
    podNames: settings.podNames,
    onChange: (dependency) => packets.drop(dependency),
  });
  const netns = unlessOwn(upstreamNetns ?? '/proc/self/ns/net');
  const outside = openOutside({ options, settings, netns, log });
  const stats = new DnsStats();
  let synced = false;
  const resolve = chain({
    records,
    isSynced: () => synced,
    reverseCIDRs: [...options.serviceCIDRs, ...options.clusterPodCIDRs, ...options.nodeCIDRs],
    hosts: staticHosts(settings.hosts, () => records.apex()[0]),
    rewrites: settings.rewrites,
    ...(settings.autopath && searchesOf && { searchesOf }),
    onAutopath: () => stats.autopaths++,
    ...outside.handlers,
  });
  // Who wants to read of every question has every question read.
  const known = settings.queryLog ? {} : { packets };
  const told = { queryLog: settings.queryLog, serverName: options.nodeName };
  const respond = responder({ resolve, stats, log, ...told, ...known });
  const udp = settings.queryLog ? {} : { ready: { packets, stats } };
  const listeners = listenOnAll(options.dnsIPs, port, respond, udp);
  const stopWatching = watchRecords(informers, records, (seconds) => {
    // What was there before this server is no change that it took its time for.
    if (synced) stats.programming.observe(seconds);
  });
  const ready = allSynced(informers).then(() => {
    synced = true;
    onSynced?.();
  });
  const sources = () => ({ stats, ...outside, settings, version: podwireVersion() });
  const pages = { isReady: () => synced, sources, log };
  const { metricsPort, readyPort } = settings;
  const pageServers = [
    serveDnsPages({ ...pages, ips: [...options.dnsIPs, ...(options.nodeIPs ?? [])], port: metricsPort }),
    // Where CoreDNS has it; of the nodes' own addresses pods of the nodes' network may want the port.
    serveDnsPages({ ...pages, ips: options.dnsIPs, port: readyPort }),
  ];
  return {
    ready,
    status: () => ({
      ...stats.snapshot(),
      synced,
      upstreams: outside.forwarders.flatMap((each) => each.upstreams.status),
      cache: cacheStatus(outside),
    }),
    close() {
      stopWatching();
      for (const listener of listeners) listener.close();
      for (const server of pageServers) server.close();
    },
  };
}

function cacheStatus({ cache, forwarders }: Outside): DnsStatus['cache'] {
  const { success, denial } = cache.sizes;
  const sum = (pick: (counts: ForwardCounts) => number) =>
    forwarders.reduce((all, { counts }) => all + pick(counts), 0);
  return {
    entries: success + denial,
    hits: sum(({ hits }) => hits.success.count + hits.denial.count),
    misses: sum(({ misses }) => misses),
  };
}

function listenOnAll(ips: readonly IP[], port: number, respond: Respond, udp: UdpOptions): Listener[] {
  const listeners: Listener[] = [];
  for (const ip of ips) {
    try {
      listeners.push(listenUdp(ip, port, respond, udp));
      listeners.push(listenTcp(ip, port, respond));
    } catch (error) {
      for (const listener of listeners) listener.close();
      const code = error instanceof SysError ? error.code : String(error);
      throw new Fault(`DNS cannot listen on ${ip} port ${port}: ${code}`, { cause: error });
    }
  }
  return listeners;
}
