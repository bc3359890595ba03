// Room cni: STATUS: whether an ADD would succeed now.
import { accessSync, constants } from 'node:fs';
import { openNft } from '../kernel/nft-linux.ts';
import { makeFolder } from '../sys/folder.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import type { NetConfig } from './config.ts';
import { CniError, CODE } from './error.ts';
import { ipamOf } from './ipam.ts';
import type { Request } from './request.ts';

/** Throws a CniError: 50 when new containers cannot be attached, with the reason. Those that are there go on by themselves. */
export function status(config: NetConfig, request: Request): void {
  attempt(`dataDir: ${config.dataDir} cannot be written`, () => {
    makeFolder(config.dataDir, 0o700);
    accessSync(config.dataDir, constants.W_OK);
  });
  attempt('the kernel gives no rtnetlink socket', () => new NetlinkSocket(NETLINK.ROUTE).close());
  if (config.ipMasq) attempt('ipMasq: nftables cannot be used', () => openNft(undefined).close());
  try {
    ipamOf(config, request)?.status();
  } catch (error) {
    if (error instanceof CniError && error.code >= 50) throw error;
    throw new CniError(CODE.notAvailable, messageOf(error));
  }
}

function attempt(what: string, fn: () => void): void {
  try {
    fn();
  } catch (error) {
    throw new CniError(CODE.notAvailable, `${what}: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
