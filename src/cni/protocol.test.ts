// The CNI specification's rules that need no kernel: variables, versions, configuration, errors, results.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readConfig } from './config.ts';
import { OneCall } from './host.ts';
import { readIpam } from './ipam-config.ts';
import { Reader } from './reader.ts';
import { readResult, resultJson } from './result.ts';
import { type Role, run } from './run.ts';
import { VERSIONS } from './version.ts';

const NETWORK = { cniVersion: '1.1.0', name: 'net', type: 'podwire-cni', dataDir: '/dev/null/none' };
const ENV = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/none',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};

async function call(
  command: string | undefined,
  config: unknown,
  env: Record<string, string> = {},
  role: Role = 'interface',
) {
  const stdin = typeof config === 'string' ? config : JSON.stringify(config);
  const outcome = await run(
    role,
    { ...ENV, ...(command && { CNI_COMMAND: command }), ...env },
    () => stdin,
    new OneCall(),
  );
  const answer = outcome.stdout ? JSON.parse(outcome.stdout) : undefined;
  return { ...outcome, answer };
}

async function refused(code: number, says: RegExp, ...args: Parameters<typeof call>): Promise<void> {
  const { exitCode, answer } = await call(...args);
  assert.equal(exitCode, 1);
  assert.equal(answer.code, code, answer.msg);
  assert.match(answer.msg, says);
  assert.ok(typeof answer.cniVersion === 'string');
}

test('VERSION tells the versions, with a configuration and without', async () => {
  assert.deepEqual((await call('VERSION', '')).answer, { cniVersion: '1.1.0', supportedVersions: [...VERSIONS] });
  assert.equal((await call('VERSION', { cniVersion: '0.4.0' })).answer.cniVersion, '0.4.0');
  await refused(6, /not JSON/, 'VERSION', '{');
});

test('a missing or impossible variable is error 4 and named', async () => {
  await refused(4, /CNI_COMMAND/, undefined, NETWORK);
  await refused(4, /CNI_COMMAND.*"add"/, 'add', NETWORK);
  for (const command of ['ADD', 'CHECK']) {
    for (const name of ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']) {
      await refused(4, new RegExp(name), command, NETWORK, { [name]: '' });
    }
  }
  for (const name of ['CNI_CONTAINERID', 'CNI_IFNAME'])
    await refused(4, new RegExp(name), 'DEL', NETWORK, { [name]: '' });
  for (const command of ['GC', 'STATUS']) await refused(4, /CNI_PATH/, command, NETWORK, { CNI_PATH: '' });
  await refused(4, /CNI_CONTAINERID, CNI_IFNAME/, 'DEL', NETWORK, { CNI_CONTAINERID: '', CNI_IFNAME: '' });
  await refused(4, /CNI_CONTAINERID.*"-x"/, 'ADD', NETWORK, { CNI_CONTAINERID: '-x' });
  for (const ifname of ['a/b', 'a:b', 'a b', '.', '..', 'sixteen-letters-']) {
    await refused(4, /CNI_IFNAME/, 'ADD', NETWORK, { CNI_IFNAME: ifname });
  }
  await refused(4, /CNI_ARGS.*"x"/, 'ADD', NETWORK, { CNI_ARGS: 'x' });
});

test('a namespace that is not there, or is none, is error 4', async () => {
  const config = { ...NETWORK, ipam: { type: 'podwire', subnet: '10.1.0.0/16' } };
  await refused(4, /CNI_NETNS: \/run\/netns\/none cannot be opened \(ENOENT\)/, 'ADD', config);
  await refused(4, /CNI_NETNS: \/etc\/passwd is not a network namespace/, 'ADD', config, { CNI_NETNS: '/etc/passwd' });
  await refused(4, /CNI_NETNS.*own/, 'ADD', config, { CNI_NETNS: '/proc/self/ns/net' });
});

test('what is no JSON object is error 6', async () => {
  for (const text of ['', '{', '[]', 'null', '7', '"x"']) await refused(6, /stdin/, 'ADD', text);
});

test('a version that we do not speak is error 1; so is a verb that the version does not have', async () => {
  for (const cniVersion of ['0.2.0', '2.0.0', '1.1', undefined])
    await refused(1, /cniVersion/, 'ADD', { ...NETWORK, cniVersion });
  await refused(1, /0\.3\.1 has no CHECK/, 'CHECK', { ...NETWORK, cniVersion: '0.3.1' });
  for (const command of ['GC', 'STATUS'])
    await refused(1, /1\.0\.0 has no/, command, { ...NETWORK, cniVersion: '1.0.0' });
  assert.equal((await call('ADD', { ...NETWORK, cniVersion: '0.4.0', name: '' })).answer.cniVersion, '0.4.0');
});

test('an error in the configuration is error 7 and names the key', async () => {
  const cases: [RegExp, object][] = [
    [/^name/, { name: undefined }],
    [/^name/, { name: '../x' }],
    [/^mtu/, { mtu: 'big' }],
    [/^ipMasq/, { ipMasq: 'yes' }],
    [/^nonMasqueradeCIDRs/, { nonMasqueradeCIDRs: ['x'] }],
    [/^ipam/, { ipam: 'host-local' }],
    [/^prevResult\.ips\[0\]\.address/, { prevResult: { ips: [{ address: '10.0.0.1' }] } }],
    [
      /^runtimeConfig\.portMappings\[0\]\.hostPort/,
      { runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 1 }] } },
    ],
    [/^runtimeConfig\.portMappings\[0\]\.containerPort/, { runtimeConfig: { portMappings: [{ hostPort: 80 }] } }],
    [/^runtimeConfig\.bandwidth\.ingressBurst/, { runtimeConfig: { bandwidth: { ingressRate: 1000 } } }],
    [/^runtimeConfig\.mac/, { runtimeConfig: { mac: '01:00:5e:00:00:01' } }],
    [/^runtimeConfig\.dns\.servers/, { runtimeConfig: { dns: { servers: ['x'] } } }],
  ];
  for (const [says, change] of cases) await refused(7, says, 'ADD', { ...NETWORK, ...change });
  await refused(7, /^cni\.dev\/valid-attachments/, 'GC', NETWORK);
  await refused(7, /^prevResult/, 'CHECK', NETWORK);
});

test('an error in ipam is error 7 and names the key', async () => {
  const cases: [RegExp, object][] = [
    [/^ipam\.ranges/, {}],
    [/^ipam\.subnet/, { subnet: '10.0.0.0' }],
    [/^ipam\.ranges\[0\]\[0\]\.subnet/, { ranges: [[{}]] }],
    [/^ipam\.ranges\[0\]\[0\]\.rangeEnd/, { ranges: [[{ subnet: '10.1.0.0/24', rangeEnd: '10.2.0.9' }]] }],
    [/^ipam\.ranges.*mixes/, { ranges: [[{ subnet: '10.1.0.0/24' }, { subnet: 'fd00::/64' }]] }],
    [/^ipam\.routes\[0\]\.dst/, { subnet: '10.1.0.0/24', routes: [{ dst: 'x' }] }],
    [/^ipam\.reserved/, { subnet: '10.1.0.0/24', reserved: ['x'] }],
    [/^ipam\.resolvConf/, { subnet: '10.1.0.0/24', resolvConf: '/none' }],
    [/^ipam\.restSeconds/, { subnet: '10.1.0.0/24', restSeconds: -1 }],
  ];
  for (const [says, ipam] of cases) await refused(7, says, 'ADD', { ...NETWORK, ipam }, {}, 'ipam');
});

test('what we cannot do is error 2 and names key and value', async () => {
  await refused(2, /^vlan: 5/, 'ADD', { ...NETWORK, vlan: 5 });
  await refused(2, /^ipMasqBackend: "iptables"/, 'ADD', { ...NETWORK, ipMasqBackend: 'iptables' });
  const runtimeConfig = { portMappings: [{ hostPort: 1, containerPort: 1, protocol: 'icmp' }] };
  await refused(2, /^runtimeConfig\.portMappings\[0\]\.protocol: "icmp"/, 'ADD', { ...NETWORK, runtimeConfig });
});

test('a port on ::1, which nobody would reach, is refused', async () => {
  for (const hostIP of ['::1', '0:0:0:0:0:0:0:1']) {
    const runtimeConfig = { portMappings: [{ hostPort: 1, containerPort: 1, hostIP }] };
    await refused(2, /^runtimeConfig\.portMappings\[0\]\.hostIP: "(::1|0:0)/, 'ADD', { ...NETWORK, runtimeConfig });
  }
});

test('whatever was wrong with an ADD, its DEL succeeds: only what says where it would be is read', async () => {
  const { dataDir: _, ...network } = NETWORK;
  const config = {
    ...network,
    dataDir: '/nonexistent/podwire',
    ipMasq: 'yes',
    mtu: -1,
    vlan: 5,
    prevResult: 7,
    dns: 3,
  };
  const runtimeConfig = { portMappings: [{ hostPort: 'x' }], bandwidth: { ingressRate: -1 }, mac: 'no' };
  assert.equal((await call('DEL', { ...config, runtimeConfig }, { CNI_ARGS: 'MAC=no' })).stdout, '');
  assert.equal((await call('DEL', { ...config, nodeDir: '/nonexistent/node-1' })).stdout, '');
  await refused(7, /^name/, 'DEL', { ...config, name: '-' });
  await refused(1, /^cniVersion/, 'DEL', { ...config, cniVersion: '9.9.9' });
  await refused(6, /not JSON/, 'DEL', '{');
});

test('STATUS is error 50 when an ADD could not succeed, with the reason', async () => {
  await refused(50, /dataDir/, 'STATUS', NETWORK);
});

test('addresses are asked for by the capability, by args and by CNI_ARGS', () => {
  const ipam = { type: 'podwire', subnet: '10.1.0.0/16' };
  const config = { ...NETWORK, ipam, runtimeConfig: { ips: ['10.1.0.7/16'] }, args: { cni: { ips: ['10.1.0.8'] } } };
  const read = readIpam(new Reader(config), { IP: '10.1.0.9,10.1.0.7' });
  assert.deepEqual(read.requested, ['10.1.0.7', '10.1.0.8', '10.1.0.9']);
});

test('ranges come from subnet, ranges and the capability ipRanges', () => {
  const ipam = { subnet: '10.1.0.0/16', ranges: [[{ subnet: '10.2.0.0/24' }, { subnet: '10.3.0.0/24' }]] };
  const config = { ...NETWORK, ipam, runtimeConfig: { ipRanges: [[{ subnet: 'fd00::/64' }]] } };
  const sets = readIpam(new Reader(config), {}).rangeSets.map((set) => set.map(({ subnet }) => subnet));
  assert.deepEqual(sets, [['10.1.0.0/16'], ['10.2.0.0/24', '10.3.0.0/24'], ['fd00::/64']]);
});

test('capabilities are read, and ports that nobody published passed over', () => {
  const runtimeConfig = {
    portMappings: [
      { hostPort: 0, containerPort: 1 },
      { hostPort: 80, containerPort: 8080, protocol: 'UDP', hostIP: '10.0.0.1' },
      { hostPort: 81, containerPort: 8081, hostIP: '0.0.0.0' },
    ],
    bandwidth: { ingressRate: 1e6, ingressBurst: 1e5 },
    mac: 'AA:bb:cc:dd:ee:ff',
    dns: { servers: ['10.96.0.10'], searches: ['x.'], options: ['ndots:5'] },
  };
  const config = readConfig(JSON.stringify({ ...NETWORK, dns: { domain: 'y' }, runtimeConfig }), {});
  assert.deepEqual(config.portMappings, [
    { hostPort: 80, containerPort: 8080, protocol: 'udp', hostIP: '10.0.0.1' },
    { hostPort: 81, containerPort: 8081, protocol: 'tcp', hostIP: '0.0.0.0' },
  ]);
  assert.deepEqual(config.bandwidth, { ingress: { rate: 1e6, burst: 1e5 } });
  assert.equal(config.mac, 'aa:bb:cc:dd:ee:ff');
  assert.deepEqual(config.dns, { nameservers: ['10.96.0.10'], search: ['x.'], options: ['ndots:5'] });
});

test('a result has the fields of its version, and each version reads the others’', () => {
  const full = {
    interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1400, sandbox: '/run/netns/x', pciID: '1' }],
    ips: [{ interface: 0, address: '10.0.0.2/32', gateway: '169.254.1.1' }, { address: 'fd00::2/128' }],
    routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1', mtu: 1400, table: 100, scope: 0 }],
    dns: { nameservers: ['10.96.0.10'] },
  };
  const result = readResult(new Reader(full));
  const json = (version: (typeof VERSIONS)[number]) => JSON.parse(JSON.stringify(resultJson(result, version)));
  assert.deepEqual(json('1.1.0'), { cniVersion: '1.1.0', ...full });
  for (const version of VERSIONS.filter((each) => each !== '1.1.0')) {
    const { interfaces, ips, routes } = json(version);
    assert.deepEqual(interfaces, [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/run/netns/x' }]);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }]);
    assert.deepEqual(
      ips.map((ip: { version?: string }) => ip.version),
      version === '1.0.0' ? [undefined, undefined] : ['4', '6'],
    );
    assert.deepEqual(readResult(new Reader(json(version))).ips, result.ips);
  }
});

test('whatever comes on stdin and in the variables, the answer is an error object or nothing', async () => {
  const value = fc.oneof(fc.json(), fc.string());
  const keys = ['cniVersion', 'name', 'ipam', 'prevResult', 'runtimeConfig', 'mtu', 'dns', 'args', 'dataDir'];
  const object = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue()).map((each) => ({
    ...NETWORK,
    ...each,
    dataDir: '/dev/null/none',
  }));
  const command = fc.constantFrom('ADD', 'CHECK', 'VERSION', 'x');
  await fc.assert(
    fc.asyncProperty(command, fc.oneof(value, object), fc.string(), async (verb, config, args) => {
      const { exitCode, answer } = await call(verb, config, { CNI_ARGS: args });
      if (exitCode === 1) assert.ok(answer.code > 0 && answer.msg.length > 0);
      else assert.equal(verb, 'VERSION');
    }),
    { numRuns: 1000 },
  );
});

test('state that cannot be written is error 5, with the path', async () => {
  const config = { ...NETWORK, ipam: { type: 'podwire', subnet: '10.1.0.0/16' } };
  await refused(5, /ENOTDIR.*'\/dev\/null\/none/, 'ADD', config, {}, 'ipam');
});

test('a node whose agent is not there: ADD and CHECK are error 11, STATUS 51, DEL and GC are done', async () => {
  const { dataDir: _, ...network } = NETWORK;
  const config = { ...network, nodeDir: '/nonexistent/node-1' };
  const says = /there is no node at \/nonexistent\/node-1/;
  await refused(11, says, 'ADD', config);
  await refused(11, says, 'CHECK', config);
  await refused(51, says, 'STATUS', config);
  assert.equal((await call('DEL', config)).stdout, '');
  assert.equal((await call('GC', { ...config, 'cni.dev/valid-attachments': [] })).stdout, '');
  await refused(7, /cni\.dev\/valid-attachments/, 'GC', config);
  await refused(7, /ipam: must be absent where nodeDir is given/, 'ADD', { ...config, ipam: { type: 'podwire' } });
});

test('containerd writes the keys of capabilities with capital letters', () => {
  const runtimeConfig = {
    portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'TCP', HostIP: '10.0.0.1' }],
    bandwidth: { IngressRate: 1e6, IngressBurst: 1e5, EgressRate: 0, EgressBurst: 0 },
    dns: { Servers: ['10.96.0.10'], Searches: ['x'], Options: [] },
  };
  const config = readConfig(JSON.stringify({ ...NETWORK, runtimeConfig }), {});
  assert.deepEqual(config.portMappings, [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '10.0.0.1' }]);
  assert.deepEqual(config.bandwidth, { ingress: { rate: 1e6, burst: 1e5 } });
  assert.deepEqual(config.dns.nameservers, ['10.96.0.10']);
});
