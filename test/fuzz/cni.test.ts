// Whatever a runtime hands to the CNI plugin, it is read, or refused with an error of the specification that names what is wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../src/cni/config.ts';
import { CniError } from '../../src/cni/error.ts';
import { readIpam, readRequested } from '../../src/cni/ipam-config.ts';
import { randomFrom, seed, times } from '../long.ts';

const INPUTS = times(20_000, 1_000_000);

const CONFIG = {
  cniVersion: '1.1.0',
  name: 'net1',
  type: 'podwire-cni',
  ipMasq: true,
  mtu: 1450,
  mac: '02:00:00:00:00:01',
  nonMasqueradeCIDRs: ['10.0.0.0/8', 'fd00::/8'],
  dns: { nameservers: ['10.96.0.10'], domain: 'x', search: ['y'], options: ['ndots:5'] },
  args: { cni: { ips: ['10.22.0.5'], mac: '02:00:00:00:00:02' } },
  runtimeConfig: {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '192.0.2.1' }],
    bandwidth: { ingressRate: 1e6, ingressBurst: 1e5, egressRate: 1e6, egressBurst: 1e5 },
    ips: ['10.22.0.7/24'],
    ipRanges: [[{ subnet: '10.22.0.0/16', rangeStart: '10.22.0.2' }]],
    dns: { servers: ['10.96.0.10'], searches: ['x'], options: [] },
  },
  ipam: {
    type: 'podwire',
    ranges: [[{ subnet: '10.22.0.0/16', rangeStart: '10.22.0.2', rangeEnd: '10.22.9.0', gateway: '10.22.0.1' }]],
    routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.1', mtu: 1400 }],
    reserved: ['10.22.0.64/28'],
    restSeconds: 3,
    resolvConf: '/dev/null',
  },
  prevResult: {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/run/netns/x', mtu: 1450 }],
    ips: [{ address: '10.22.0.5/16', gateway: '10.22.0.1', interface: 0 }],
    routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.1' }],
    dns: {},
  },
  'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'eth0' }],
};

const ODD: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  65_536,
  1e308,
  0.5,
  '',
  'x',
  '\u0000',
  '10.0.0.0/33',
  '::',
  'fd00::/128',
  '255.255.255.255/32',
  '__proto__',
  'é'.repeat(300),
  [],
  [[]],
  {},
  { __proto__: null, a: 1 },
  [null],
];

type Random = (below: number) => number;

/** A copy with some of its values replaced, left out, or put in another's place. */
function mutated(value: unknown, random: Random, rate: number): unknown {
  if (random(rate) === 0) return ODD[random(ODD.length)];
  if (Array.isArray(value)) {
    const list = value.map((each) => mutated(each, random, rate));
    return random(rate) === 0 ? [...list, ...list] : list;
  }
  if (typeof value === 'string' && random(rate) === 0) return value.slice(random(value.length + 1));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(() => random(rate) !== 0);
  return Object.fromEntries(entries.map(([key, each]) => [key, mutated(each, random, rate)]));
}

/** Sometimes no JSON at all. */
function text(random: Random): string {
  const json = JSON.stringify(mutated(CONFIG, random, 8 + random(60)));
  if (random(10) !== 0) return json;
  const at = random(json.length);
  return random(2) === 0
    ? json.slice(0, at)
    : json.slice(0, at) + String.fromCharCode(random(0x300)) + json.slice(at + 1);
}

test(`${INPUTS} configurations on standard input`, (t) => {
  const start = seed();
  t.diagnostic(`PODWIRE_SEED=${start}`);
  const random = randomFrom(start);
  const codes = new Map<number, number>();
  for (let i = 0; i < INPUTS; i++) {
    const input = text(random);
    const code = codeOf(input, random(3) === 0 ? { IP: ['10.22.0.9', 'x', '::1/64'][random(3)]! } : {});
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  t.diagnostic(`codes: ${JSON.stringify(Object.fromEntries(codes))}`);
  // Each of them happens: what is read whole, and what the specification has codes for.
  for (const code of [0, 1, 2, 6, 7]) assert.ok(codes.has(code), `none ended with ${code}`);
});

/** 0: it could be read. */
function codeOf(input: string, args: Record<string, string>): number {
  try {
    const config = readConfig(input, args);
    if (config.reader.object('ipam')) {
      readIpam(config.reader, args);
      readRequested(config.reader, args);
    }
    return 0;
  } catch (error) {
    const told = error instanceof CniError && Number.isInteger(error.code) && error.code > 0;
    if (told && error.message.length > 0) return error.code;
    throw new Error(`${input}: ${error instanceof Error ? error.stack : error}`, { cause: error });
  }
}
