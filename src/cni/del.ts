// Room cni: DEL and GC: everything of an attachment taken away, whatever of it is still there.
import type { RecordFiles } from '../ipam/record-file.ts';
import { type Attachment, Attachments, networksIn, withSharedLock } from './attachment.ts';
import { type NetConfig, requireValidAttachments } from './config.ts';
import type { Host } from './host.ts';
import { ipamOf } from './ipam.ts';
import type { Request } from './request.ts';
import { needsRules } from './rules.ts';
import { Wiring } from './wiring.ts';

/** Succeeds when there is nothing of it. */
export function del(config: NetConfig, request: Request): void {
  detach(config, request);
  ipamOf(config, request)?.del();
}

/** All but the addresses. */
export function detach(config: NetConfig, request: Request): void {
  const attachments = new Attachments(config.dataDir, config.name, request.host.files);
  const known = attachments.get(request);
  if (known) remove(config.dataDir, request.host, attachments, known);
  // Of an ADD that died before it could write it down nothing is in the kernel but perhaps a link, of a file that was torn.
  else if (config.ipamType !== undefined) remove(config.dataDir, request.host, attachments, unknown(config, request));
}

function unknown({ name: network }: NetConfig, { containerID, ifname, netns = '' }: Request): Attachment {
  const nothing = { ips: [], near: [], portMappings: [], bandwidth: {} };
  return { network, containerID, ifname, netns, ownsLink: true, attachedAt: '', ...nothing };
}

/** Succeeds when it is gone already. */
export function remove(dataDir: string, host: Host, attachments: Attachments, attachment: Attachment): void {
  const wiring = new Wiring(host);
  if (!needsRules(attachment)) {
    wiring.disconnect(attachment);
    attachments.drop(attachment);
    return;
  }
  withSharedLock(dataDir, () => {
    attachments.drop(attachment);
    try {
      wiring.disconnectRules(attachment, (test) => isAmongOthers(dataDir, host.files, test));
    } catch (error) {
      attachments.put(attachment);
      throw error;
    }
  });
  wiring.disconnect(attachment);
}

/** Stops at the first, which nearly always is the first of all. */
function isAmongOthers(dataDir: string, files: RecordFiles, test: (other: Attachment) => boolean): boolean {
  return networksIn(dataDir).some((network) => new Attachments(dataDir, network, files).some(test));
}

/** Of this network alone: what is not in `cni.dev/valid-attachments` goes. */
export function gc(config: NetConfig, request: Request): void {
  const valid = requireValidAttachments(config);
  const attachments = new Attachments(config.dataDir, config.name, request.host.files);
  for (const attachment of attachments.all()) {
    const { containerID, ifname } = attachment;
    if (valid.some((each) => each.containerID === containerID && each.ifname === ifname)) continue;
    remove(config.dataDir, request.host, attachments, attachment);
  }
  ipamOf(config, request)?.gc();
}
