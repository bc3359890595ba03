// Room kernel: creating and changing links so that what is there already, in whatever form, ends as wanted.

import { createTun } from '../sys/tun.ts';
import { deleteLink, type LinkState, setLink } from '../wire/netlink/link.ts';
import { isOurLink } from './identity.ts';
import type { Link } from './items.ts';
import { KernelError } from './kernel.ts';
import { REMOVED_GROUP } from './link-removal.ts';
import { createRequest, linkSettings } from './linux-messages.ts';
import { codeOf, type NamespaceSession, refused, type Session, type Step } from './linux-session.ts';

/** All links of one namespace in one batch: bridges first, then what joins them, then what exists and is only set up. */
export function putLinks(session: Session, netns: string | undefined, links: readonly Link[]): void {
  const space = session.at(netns, links[0]);
  const bridges = links.filter((link) => link.type.kind === 'bridge');
  if (bridges.length > 0 && bridges.length < links.length) {
    putLinks(session, netns, bridges);
    putLinks(
      session,
      netns,
      links.filter((link) => link.type.kind !== 'bridge'),
    );
    return;
  }
  space.resolve(links.flatMap((link) => link.master ?? []));
  const steps = links.map((link): Step<Link> => ({ item: link, request: requestFor(session, space, link) }));
  for (const refusal of space.run(steps)) {
    if (refusal.error.code !== 'EEXIST' || !adopt(session, space, refusal.item)) throw refused('add link', refusal);
  }
  for (const link of links) space.forget(link.name);
}

function requestFor(session: Session, space: NamespaceSession, link: Link) {
  if (link.type.kind === 'tun') {
    ensureTun(session, link);
    return setLink({ name: link.name }, linkSettings(link, space.index)!);
  }
  const peerPath = link.type.kind === 'veth' ? link.type.peer.netns : undefined;
  const peerNetns = peerPath === undefined ? undefined : session.namespaceFd(peerPath, link);
  const request = createRequest(link, space.index, peerNetns);
  if (!request) throw new KernelError('add link', 'ENODEV', `no bridge ${link.master}`, link);
  return request;
}

/** rtnetlink makes no TUN device, only removes it. */
function ensureTun(session: Session, link: Link): void {
  try {
    createTun(link.name, link.netns ?? session.home);
  } catch (error) {
    // It is there, and its reader has it.
    if (codeOf(error) !== 'EBUSY') throw error;
  }
}

/** The name is taken: by what we want (set it up), by a remnant of ours (replace it), or by a stranger (false). */
function adopt(session: Session, space: NamespaceSession, want: Link): boolean {
  const have = space.link(want.name);
  if (!have) return false;
  if (have.group !== REMOVED_GROUP && isSameDevice(session, have, want)) {
    change(space, have, want);
    return true;
  }
  if (!isOurLink(want.name)) return false;
  replace(session, space, want);
  return true;
}

function isSameDevice(session: Session, have: LinkState, want: Link): boolean {
  const { type } = want;
  if (type.kind === 'existing' || have.kind !== type.kind) return false;
  if (type.kind === 'vxlan') {
    return have.vxlan?.vni === type.vni && have.vxlan.local === type.local && have.vxlan.port === type.port;
  }
  if (type.kind === 'ipip') return have.ipip?.local === type.local;
  if (type.kind === 'bridge' || type.kind === 'tun') return true;
  const peer = session.ifThere(type.peer.netns ?? want.netns)?.link(type.peer.name);
  return peer?.kind === 'veth' && peer.peerIndex === have.index && have.peerIndex === peer.index;
}

function change(space: NamespaceSession, have: LinkState, want: Link): void {
  const settings = linkSettings(want, space.index);
  if (!settings) throw new KernelError('change link', 'ENODEV', `no bridge ${want.master}`, want);
  // A MAC that is set anew, even to the same, makes the kernel forget all neighbours on the link.
  const { mac, ...rest } = settings;
  const request = setLink({ name: want.name }, { master: 0, ...rest, ...(mac && mac !== have.mac && { mac }) });
  for (const refusal of space.run([{ item: want, request }])) throw refused('change link', refusal);
}

function replace(session: Session, space: NamespaceSession, want: Link): void {
  const steps = [
    { item: want, request: deleteLink({ name: want.name }) },
    { item: want, request: requestFor(session, space, want) },
  ];
  for (const refusal of space.run(steps)) {
    // The pool thread may have deleted the remnant meanwhile.
    if (refusal.error.code !== 'ENODEV') throw refused('replace link', refusal);
  }
}

/** A link that we made may differ in its settings, or need to be made anew: then whatever hung on it is gone with it. */
export function changeLink(session: Session, want: Link): void {
  const space = session.at(want.netns, want);
  if (want.master !== undefined) space.resolve([want.master]);
  const have = space.link(want.name);
  if (!have) putLinks(session, want.netns, [want]);
  else if (want.type.kind === 'existing' || isSameDevice(session, have, want)) change(space, have, want);
  else if (isOurLink(want.name)) replace(session, space, want);
  else throw new KernelError('change link', 'EEXIST', undefined, want);
  space.forget(want.name);
}
