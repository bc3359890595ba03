// Room cni: verbs on a node's network while its agent is away: what can be put down for it is, the rest is an error.
import { existsSync } from 'node:fs';
import { Attachments } from './attachment.ts';
import { nodeSocket } from './call.ts';
import { type NetConfig, requireValidAttachments } from './config.ts';
import { CniError, CODE } from './error.ts';
import type { Plugin } from './run.ts';

/** Addresses are the agent's to give and to take back: it does so at its next start. */
export const WITHOUT_AGENT: Plugin = {
  ADD: refuse,
  CHECK: refuse,
  DEL: (config, request) => {
    if (known(config)) new Attachments(config.dataDir, config.name).bury(request);
  },
  GC: (config) => {
    const valid = requireValidAttachments(config);
    if (!known(config)) return;
    const attachments = new Attachments(config.dataDir, config.name);
    for (const attachment of attachments.all()) {
      const { containerID, ifname } = attachment;
      if (!valid.some((each) => each.containerID === containerID && each.ifname === ifname))
        attachments.bury(attachment);
    }
  },
  STATUS: (config) => {
    throw new CniError(
      CODE.notAvailableAndLimited,
      `${absent(config)}: containers that are there go on, but nobody follows what changes in the cluster`,
    );
  },
};

function refuse(config: NetConfig): never {
  throw new CniError(CODE.tryLater, absent(config), 'podwire up starts it, podwire node start a node that was stopped');
}

function absent({ nodeDir = '' }: NetConfig): string {
  return existsSync(nodeDir)
    ? `the node's agent does not answer at ${nodeSocket(nodeDir)}`
    : `nodeDir: there is no node at ${nodeDir}`;
}

/** Of a node that is gone nothing is left. */
function known({ nodeDir = '' }: NetConfig): boolean {
  return existsSync(nodeDir);
}
