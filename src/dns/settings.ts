// Room dns: what a cluster's config may say of its DNS servers beyond where they forward. Every field has a default.
import type { IP } from '../addr/ip.ts';
import type { Name } from '../wire/dns/message.ts';

/** Of answers from outside the cluster. */
export interface CacheSettings {
  /** Answers; 0 keeps none. */
  readonly size: number;
  /** Seconds for which an answer is believed at most, and one that there is none. */
  readonly maxTTL: number;
  readonly maxNegativeTTL: number;
  /** Ask again for names in use shortly before their time is over. */
  readonly prefetch: boolean;
  /** Seconds beyond its time for which an answer is given when nobody can be asked (RFC 8767); 0: never. */
  readonly staleFor: number;
}

export interface ServerSettings {
  /** Domain to its own resolvers, `address` or `address#port`. */
  readonly stubDomains: Readonly<Record<Name, readonly string[]>>;
  /** Names that are answered from here. */
  readonly hosts: Readonly<Record<Name, readonly IP[]>>;
  /**
   * A name to the one that is asked for in its place; `*.suffix` to `*.other`: of every name below, or to one name for all
   * of them. The first that fits is taken.
   */
  readonly rewrites: Readonly<Record<Name, Name>>;
  /** Seconds for which the cluster's own names may be kept by who asks (CoreDNS: `ttl`). */
  readonly ttl: number;
  /** Endpoints of headless Services that have no hostname have their pods' names (CoreDNS: `endpoint_pod_names`). */
  readonly podNames: boolean;
  /** Walk a pod's search list for it. */
  readonly autopath: boolean;
  /** One line of log for each question. */
  readonly queryLog: boolean;
  /** Where /metrics, /health and /ready are served; 0: nowhere. */
  readonly metricsPort: number;
  /** Where /ready is as CoreDNS has it, beside the metrics, on the DNS addresses alone; 0: nowhere. */
  readonly readyPort: number;
  readonly cache: CacheSettings;
}

export const DEFAULT_SETTINGS: ServerSettings = {
  stubDomains: {},
  hosts: {},
  rewrites: {},
  ttl: 5,
  podNames: false,
  autopath: false,
  queryLog: false,
  metricsPort: 9153,
  readyPort: 8181,
  cache: { size: 10_000, maxTTL: 300, maxNegativeTTL: 30, prefetch: true, staleFor: 3600 },
};
