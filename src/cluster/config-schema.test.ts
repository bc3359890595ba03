// Room cluster: a config file is taken whole or refused with the field at fault.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import { defaultConfig, mergeConfig } from './config.ts';
import { checkConfig, readConfigFile } from './config-schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'podwire-config-'));
after(() => rmSync(folder, { recursive: true }));

function written(text: string): string {
  const file = join(folder, 'config.yaml');
  writeFileSync(file, text);
  return file;
}

test('the default config satisfies its own schema', () => {
  assert.doesNotThrow(() => checkConfig(structuredClone(defaultConfig('podwire', 0)), 'the defaults'));
});

test('where NodePorts are open: CIDRs, or primary', () => {
  for (const nodePortAddresses of [['primary'], ['172.30.0.0/24', 'fd00::/8'], []]) {
    const text = JSON.stringify({ network: { nodePortAddresses } });
    assert.deepEqual(readConfigFile(written(text)).network, { nodePortAddresses });
  }
});

test('an empty file changes nothing', () => {
  assert.deepEqual(readConfigFile(written('')), {});
});

const REFUSED: [text: string, says: RegExp][] = [
  ['network:\n  podCIDR: [10.0.0.0/8]', /there is no field network\.podCIDR; did you mean podCIDRs\?/],
  ['node: 3', /there is no field node; did you mean nodes\?/],
  ['speed: 9', /there is no field speed; fields here are name, nodes, domain/],
  ['nodes: 0', /nodes must be 1 or more/],
  ['nodes: [1]', /nodes must be a whole number/],
  ['network: { podCIDRs: [10.0.0.0/33] }', /network\.podCIDRs\.0 must be a CIDR such as/],
  ['network: { nonMasqueradeCIDRs: [10.0.0.1, 10.0.0.0/99] }', /nonMasqueradeCIDRs\.1 must be a CIDR such as/],
  ['network: { nodePortAddresses: [first] }', /nodePortAddresses\.0 must be a CIDR such as .*, or primary alone/],
  ['network: { externalCIDRs: ["192.0.2.1"] }', /externalCIDRs\.0 must be a CIDR such as/],
  ['network: { addressRestSeconds: -1 }', /network\.addressRestSeconds must be 0 or more/],
  ['network: { vxlan: { vni: 16777216 } }', /network\.vxlan\.vni must be 16777215 or less/],
  ['api: { port: 70000 }', /api\.port must be 65535 or less/],
  ['- nodes', /the file must hold fields: name, nodes, domain, network/],
  ['domain: a..b', /domain must be a domain of lower-case labels such as cluster\.local/],
  ['domain: Shop.Local', /domain must be a domain/],
  ['dns: { upstreams: ["192.0.2.1:53"] }', /dns\.upstreams\.0 must be an address, or address#port/],
  ['dns: { upstreams: [dns.example] }', /dns\.upstreams\.0 must be an address, or address#port/],
  ['loadBalancer: { addresses: [10.0.0.9-1] }', /loadBalancer\.addresses\.0 must be a CIDR, an address or a range/],
  ['dns: { stubDomains: { "corp.example": [] } }', /dns\.stubDomains\.corp\.example must have at least 1 entry/],
  ['dns: { stubDomains: { "a..b": ["192.0.2.1"] } }', /dns\.stubDomains must be a name such as/],
  ['dns: { hosts: { db.corp.example: [db] } }', /dns\.hosts\.db\.corp\.example\.0 must be an IP address/],
  ['dns: { rewrites: { "*x": a.b } }', /dns\.rewrites must be a name such as .*, or \*\.example\.com/],
  ['dns: { rewrites: { a.b: "*.c" } }', /dns\.rewrites\.a\.b must be a name such as db\.example\.com$/],
  ['dns: { cache: { ttl: 5 } }', /there is no field dns\.cache\.ttl; fields here are size, maxTTL/],
  ['dns: { metricsPort: -1 }', /dns\.metricsPort must be 0 or more/],
  ['name: No_Name', /name must be lower-case letters, digits and '-'/],
  ['network: { overlay: { backend: geneve } }', /backend must be one of vxlan, host-gw, ipip, udp, none$/],
  ['network: { overlay: vxlan }', /network\.overlay must hold fields: backend, directRouting$/],
  ['network: { nodePortRange: [1] }', /network\.nodePortRange must have at least 2 entries/],
  ['network: { serviceCounters: on please }', /serviceCounters must be true or false/],
  ['dns: { stubDomains: 5 }', /dns\.stubDomains must hold fields: name: value$/],
  ['nodes: {', /config file .*config\.yaml: /],
];
for (const [text, says] of REFUSED) {
  test(`refused: ${JSON.stringify(text)}`, () => {
    assert.throws(() => readConfigFile(written(text)), says);
  });
}

test('flags win over the file, the file over the defaults, and a section keeps what was not said', () => {
  const file = parse('nodes: 2\nnetwork: { mtu: 1400 }');
  const merged = mergeConfig(defaultConfig('podwire', 0), file, { nodes: 5 });
  assert.equal(merged.nodes, 5);
  assert.equal(merged.network.mtu, 1400);
  assert.deepEqual(merged.network.podCIDRs, ['10.244.0.0/16']);
});
