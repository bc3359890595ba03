// Room dns: the chain's first handler: what we cannot know yet is refused in a way that makes clients ask again.
import { EDE, RCODE } from '../wire/dns/message.ts';
import { isWithin } from '../wire/dns/name.ts';
import { failed, type Handler } from './query.ts';
import { parseReverseName } from './reverse-zones.ts';

/**
 * Until the first lists are in, names of the cluster and addresses get SERVFAIL: NXDOMAIN would be kept by clients and
 * be wrong. Names outside are answered from the start.
 */
export function ready(isSynced: () => boolean, zone: string): Handler {
  return (query) => {
    if (isSynced() || !(isWithin(query.lower, zone) || parseReverseName(query.lower))) return undefined;
    return failed(RCODE.SERVFAIL, { code: EDE.NOT_READY, text: 'the Services of the cluster are not yet known' });
  };
}
