// Room kernel: creating and changing links so that what is there already, in whatever form, ends as wanted.

import { createTun } from '../sys/tun.ts';
import {
  deleteLink,
  type IPv4Setting,
  isIPv4Setting,
  type LinkState,
  setIPv4,
  setLink,
  setNoLinkLocal,
} from '../wire/netlink/link.ts';
import type { NetlinkRequest } from '../wire/netlink/message.ts';
import { isOurLink } from './identity.ts';
import type { Link, Sysctl } from './items.ts';
import { KernelError } from './kernel.ts';
import { REMOVED_GROUP } from './link-removal.ts';
import { createRequest, linkSettings } from './linux-messages.ts';
import { codeOf, type NamespaceSession, type Refusal, refused, type Session, type Step } from './linux-session.ts';

/** Sysctls of a link that are set as it is made, by the link's name. */
export type SettingsOnTheWay = ReadonlyMap<string, readonly Sysctl[]>;

/** Those that rtnetlink can set, of links of ours that are made in the same namespace: a file costs more than the link's own creation. */
export function settingsOnTheWay(made: readonly Link[], sysctls: readonly Sysctl[]): Map<string, Sysctl[]> {
  const names = new Set(
    made.filter((link) => link.netns === undefined && isOurLink(link.name)).map(({ name }) => name),
  );
  const fit = sysctls.filter((item) => item.netns === undefined && names.has(settingOf(item)?.link ?? ''));
  return Map.groupBy(fit, (item) => settingOf(item)!.link);
}

function settingOf({ key }: Sysctl): { readonly link: string; readonly setting: IPv4Setting } | undefined {
  const [, link, setting] = /^net\/ipv4\/conf\/([^/]+)\/(\w+)$/.exec(key) ?? [];
  return link !== undefined && isIPv4Setting(setting!) ? { link, setting } : undefined;
}

/** Links that are made, all of one namespace in one batch: bridges first, then what joins them. */
export function putLinks(
  session: Session,
  netns: string | undefined,
  links: readonly Link[],
  settings: SettingsOnTheWay,
): void {
  const space = session.at(netns, links[0]);
  const bridges = links.filter((link) => link.type.kind === 'bridge');
  if (bridges.length > 0 && bridges.length < links.length) {
    const others = links.filter((link) => link.type.kind !== 'bridge');
    for (const group of [bridges, others]) putLinks(session, netns, group, settings);
    return;
  }
  space.resolve(links.flatMap((link) => link.master ?? []));
  for (const link of links) session.made(netns, link.name, undefined);
  const refusals = make(session, space, netns, links, settings);
  for (const refusal of refusals) {
    const { item, error } = refusal;
    if (error.code !== 'EEXIST' || item.kind !== 'link' || !adopt(session, space, item, settings))
      throw refused(item.kind === 'link' ? 'add link' : 'set sysctl', refusal);
  }
}

function make(
  session: Session,
  space: NamespaceSession,
  netns: string | undefined,
  links: readonly Link[],
  settings: SettingsOnTheWay,
): Refusal<Link | Sysctl>[] {
  const steps = links.flatMap((link) => stepsToMake(session, space, link, settings.get(link.name) ?? []));
  const refusals = space.run<Link | Sysctl>(steps, (link, { index, peerIndex }) => {
    if (link.kind !== 'link' || link.type.kind !== 'veth') return;
    const { peer } = link.type;
    session.made(netns, link.name, index);
    session.made(peer.netns ?? netns, peer.name, peerIndex, peer.mac);
  });
  return refusals.filter((refusal) => !isNoIPv6(refusal));
}

/** An address of its own would be begun with as soon as the link is up: that is told before. */
function stepsToMake(
  session: Session,
  space: NamespaceSession,
  link: Link,
  settings: readonly Sysctl[],
): Step<Link | Sysctl>[] {
  const values = settings.map((item) => [settingOf(item)!.setting, Number(item.value)] as const);
  const set = values.length > 0 ? [{ item: settings[0]!, request: setIPv4(link.name, values) }] : [];
  if (link.linkLocal !== false) return [{ item: link, request: requestFor(session, space, link) }, ...set];
  return [
    { item: link, request: requestFor(session, space, { ...link, up: false }) },
    { item: link, request: setNoLinkLocal(link.name) },
    ...set,
    ...(link.up ? [{ item: link, request: setLink({ name: link.name }, { up: true }) }] : []),
  ];
}

/** Sets up a link that is there, and that we do not make. */
export function stepsToSetUp(space: NamespaceSession, link: Link): Step<Link>[] {
  const request = createRequest(withoutSameMac(space, link), space.index, undefined);
  if (!request) throw new KernelError('add link', 'ENODEV', `no bridge ${link.master}`, link);
  return withoutLinkLocal(link, request);
}

function withoutLinkLocal(link: Link, request: NetlinkRequest): Step<Link>[] {
  const first = link.linkLocal === false ? [{ item: link, request: setNoLinkLocal(link.name) }] : [];
  return [...first, { item: link, request }];
}

/** It was to have no IPv6 address, and the kernel knows of no IPv6 there. */
export function isNoIPv6({ item, error }: Refusal): boolean {
  return item.kind === 'link' && item.linkLocal === false && error.code === 'EAFNOSUPPORT';
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

/** A MAC that is set anew, even to the same, makes the kernel forget all neighbours on the link. */
function withoutSameMac(space: NamespaceSession, link: Link): Link {
  if (link.mac === undefined) return link;
  const { mac, ...rest } = link;
  return space.macOf(link.name) === mac ? rest : link;
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
function adopt(session: Session, space: NamespaceSession, want: Link, settings: SettingsOnTheWay): boolean {
  const have = space.link(want.name);
  if (!have) return false;
  if (have.group !== REMOVED_GROUP && isSameDevice(session, have, want)) {
    change(space, have, want);
    return true;
  }
  if (!isOurLink(want.name)) return false;
  replace(session, space, want, settings);
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
  // See withoutSameMac().
  const { mac, ...rest } = settings;
  const request = setLink({ name: want.name }, { master: 0, ...rest, ...(mac && mac !== have.mac && { mac }) });
  for (const refusal of space.run(withoutLinkLocal(want, request)))
    if (!isNoIPv6(refusal)) throw refused('change link', refusal);
}

function replace(session: Session, space: NamespaceSession, want: Link, settings: SettingsOnTheWay): void {
  const remnant = { item: want, request: deleteLink({ name: want.name }) };
  for (const refusal of space.run([remnant])) {
    // The pool thread may have deleted it meanwhile.
    if (refusal.error.code !== 'ENODEV') throw refused('replace link', refusal);
  }
  for (const refusal of make(session, space, want.netns, [want], settings)) throw refused('replace link', refusal);
}

/** A link that we made may differ in its settings, or need to be made anew: then whatever hung on it is gone with it. */
export function changeLink(session: Session, want: Link): void {
  const space = session.at(want.netns, want);
  if (want.master !== undefined) space.resolve([want.master]);
  const have = space.link(want.name);
  if (!have && want.type.kind === 'existing') throw new KernelError('add link', 'ENODEV', undefined, want);
  session.made(want.netns, want.name, undefined);
  if (!have) putLinks(session, want.netns, [want], NONE);
  else if (want.type.kind === 'existing' || isSameDevice(session, have, want)) change(space, have, want);
  else if (isOurLink(want.name)) replace(session, space, want, NONE);
  else throw new KernelError('change link', 'EEXIST', undefined, want);
}

const NONE: SettingsOnTheWay = new Map();
