// Room dns: everything outside the cluster: who is asked for it, by domain, with one cache and one watch for loops.
import type { Logger } from '../observe/log.ts';
import { lowerName } from '../wire/dns/name.ts';
import type { ChainOptions } from './chain.ts';
import { Forwarder } from './forward.ts';
import { ResponseCache } from './response-cache.ts';
import type { ServerSettings } from './settings.ts';
import type { DnsOptions } from './start.ts';
import { stubDomains } from './stub-domains.ts';
import { parseUpstreams } from './upstream-addresses.ts';
import { LoopNames, UpstreamSet } from './upstream-set.ts';

interface OutsideOptions {
  readonly options: DnsOptions;
  readonly settings: ServerSettings;
  /** From where resolvers outside the cluster are reached; undefined: from here. */
  readonly netns: string | undefined;
  readonly log: Logger;
}

export interface Outside {
  readonly handlers: Required<Pick<ChainOptions, 'forward' | 'isLoop' | 'stubs'>>;
  readonly forwarders: readonly Forwarder[];
  readonly cache: ResponseCache;
}

export function openOutside({ options, settings, netns, log }: OutsideOptions): Outside {
  const { dnsIPs, nodeCIDRs, clusterPodCIDRs, serviceCIDRs } = options;
  const cache = new ResponseCache(settings.cache);
  const loops = new LoopNames();
  const forwarder = (texts: readonly string[]) => {
    const nearCIDRs = [...nodeCIDRs, ...clusterPodCIDRs, ...serviceCIDRs];
    const { upstreams, refused } = parseUpstreams(texts, { dnsIPs, nearCIDRs, netns });
    for (const upstream of refused) log.warn({ upstream }, 'not used as an upstream resolver');
    return new Forwarder({ upstreams: new UpstreamSet(upstreams, loops, log), cache });
  };
  const main = forwarder(options.dnsUpstreams);
  const stubs = new Map(
    Object.entries(settings.stubDomains).map(([domain, texts]) => [lowerName(domain), forwarder(texts)]),
  );
  return {
    handlers: {
      isLoop: ({ lower, type }) => loops.caught(lower, type),
      stubs: stubDomains(new Map([...stubs].map(([domain, { handler }]) => [domain, handler]))),
      forward: main.handler,
    },
    forwarders: [main, ...stubs.values()],
    cache,
  };
}
