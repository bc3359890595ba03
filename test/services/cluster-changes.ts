// Services while they, their endpoints, the node's tables and the agents change; and what can be seen of them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PODWIRE, until } from '../cluster/machine.ts';
import { BOTH, type ClusterPart, EVERYBODY, REFUSED } from './cluster-world.ts';
import { killAgents } from './kills.ts';
import { HOSTNAMES, LEAVING, UNREADY } from './manifests.ts';

export function changeTests(part: ClusterPart): void {
  describe('while things change', { skip: part.skip }, () => {
    test('a Deployment, exposed by kubectl: each type, and back', async () => {
      const { machine } = part.world;
      await machine.apply(HOSTNAMES);
      await machine.kubectl('wait', '--for=condition=Available', 'deployment/hostnames', '--timeout=120s');
      await machine.kubectl('expose', 'deployment', 'hostnames', '--port=80', '--target-port=9376');
      const names = (
        await machine.kubectl('get', 'pods', '-l', 'app=hostnames', '-o', 'jsonpath={.items[*].metadata.name}')
      )
        .split(' ')
        .sort();
      const [ip] = await part.world.clusterIPs('hostnames');
      await part.fromEverybody([ip!], 80, names);
      const become = (spec: string) => machine.kubectl('patch', 'service', 'hostnames', '-p', spec);
      await become('{"spec":{"type":"NodePort"}}');
      const port = (await part.world.service('hostnames')).spec.ports[0]!.nodePort!;
      await part.world.reaches('outside', part.world.nodes['node-3']!.v4, port, names);
      await become('{"spec":{"type":"ClusterIP"}}');
      await part.world.reaches('outside', part.world.nodes['node-3']!.v4, port, [REFUSED]);
      await become('{"spec":{"type":"ExternalName","externalName":"my-service.default.svc.cluster.local"}}');
      await part.world.reaches('client', ip!, 80, [REFUSED]);
      await part.world.reaches('client', 'hostnames', 80, BOTH);
      await become('{"spec":{"type":"ClusterIP","externalName":null}}');
      await part.fromEverybody(await part.world.clusterIPs('hostnames'), 80, names);
      await machine.kubectl('delete', 'service/hostnames', 'deployment/hostnames');
    });

    test('a pod that is not ready: only where publishNotReadyAddresses asks for it', async () => {
      await part.world.machine.apply(UNREADY);
      const [eager] = await part.world.clusterIPs('eager');
      const [patient] = await part.world.clusterIPs('patient');
      await part.fromEverybody([eager!], 80, ['unready']);
      await part.fromEverybody([patient!], 80, [REFUSED]);
      await part.world.machine.kubectl('exec', 'unready', '--', 'touch', '/tmp/ready');
      await part.fromEverybody([patient!], 80, ['unready']);
    });

    test('an endpoint that terminates serves while nothing else does', async () => {
      const { machine } = part.world;
      await machine.apply(LEAVING);
      await machine.kubectl('wait', '--for=condition=Ready', 'pod/leaving', '--timeout=60s');
      const [ip] = await part.world.clusterIPs('leaving');
      await part.world.reaches('client', ip!, 80, ['leaving']);
      await machine.kubectl('delete', 'pod', 'leaving', '--wait=false');
      await until('its slice says that it terminates', async () => {
        const get = ['get', 'endpointslices', '-l', 'kubernetes.io/service-name=leaving', '-o', 'json'];
        const [slice] = JSON.parse(await machine.kubectl(...get)).items;
        const { ready, serving, terminating } = slice.endpoints[0].conditions;
        return !ready && serving && terminating;
      });
      for (const asker of EVERYBODY) assert.deepEqual(await part.world.http(asker, ip!, 80), ['leaving']);
      await machine.kubectl('delete', 'pod', 'leaving', '--force', '--grace-period=0');
      await part.fromEverybody([ip!], 80, [REFUSED]);
    });

    test('conntrack: in nftables mode flows of pods are translated by their node, at the socket nobody sees them', async () => {
      const ip = (await part.world.clusterIPs('multi'))[0]!;
      await part.world.udp('client', ip, 53);
      await part.world.http('node-3', ip, 80);
      const flows = (source: string) => part.world.sh('node-3', `conntrack -L -d ${ip} -s ${source} 2>/dev/null`);
      assert.match(await flows(part.world.nodes['node-3']!.v4), /tcp .*dport=80 /);
      const ofPod = await flows(part.world.pods.client.v4);
      assert.equal(/udp .*dport=53 /.test(ofPod), part.mode === 'nftables', ofPod);
    });

    test('packets and bytes of each Service are in the metrics', async () => {
      const [ip] = await part.world.clusterIPs('my-service');
      const counted = async () => {
        const text = await part.world.sh('node-3', 'curl -s 127.0.0.1:10249/metrics');
        const of = (what: string) =>
          Number(
            new RegExp(`podwire_service_${what}_total\\{[^}]*service="my-service"[^}]*\\} (\\d+)`).exec(text)?.[1],
          );
        return { packets: of('packets'), bytes: of('bytes') };
      };
      const before = await counted();
      await part.world.http('node-3', ip!, 80, { count: 10 });
      const { packets, bytes } = await counted();
      assert.ok(packets >= before.packets + 80, `${before.packets} + ${packets - before.packets} packets`);
      assert.ok(bytes >= before.bytes + 80 * 52, `${bytes} bytes`);
    });

    // kubernetes#71305, weaveworks/weave#3465: rules of others are left alone, and named where they may be in the way.
    test('whoever removes a table of ours finds it as it was, whatever else is there; tables of others are named', async () => {
      const early = 'chain early { type filter hook ingress device eth0 priority 0; }';
      const late = 'chain late { type filter hook forward priority 10; policy accept; }';
      await part.world.sh('node-1', `nft 'table inet firewall { ${early}; ${late}; }'`);
      const tables = (await part.world.sh('node-1', 'nft list tables'))
        .split('\n')
        .filter((line) => /podwire/.test(line));
      assert.ok(tables.length >= 2, `${tables}`);
      const [ip] = await part.world.clusterIPs('my-service');
      const listed = (table: string) =>
        part.world.sh('node-1', `nft -s list ${table} 2>/dev/null | grep -vE 'expires|timeout' | sort`);
      for (const table of tables) {
        const before = await listed(table);
        const began = performance.now();
        await part.world.sh('node-1', `nft delete ${table}`);
        await until(`${table} is back`, async () => (await listed(table)) === before);
        console.log(`${table}: back after ${Math.round(performance.now() - began)} ms, as far as could be seen`);
      }
      await part.world.reaches('node-1', ip!, 80, BOTH);
      const check = await part.world.machine.run(PODWIRE, ['check', '-o', 'json']);
      const rows = JSON.parse(check.stdout) as { what: string; state: string; detail: string }[];
      const found = rows.filter(({ what }) => what.startsWith('rules of others'));
      assert.deepEqual(
        found.map(({ what, state, detail }) => [what, state, detail]),
        [['rules of others on node-1', 'low', 'table inet firewall (ingress, forward)']],
      );
      assert.match(await part.world.sh('node-1', 'nft delete table inet firewall && echo gone'), /gone/);
    });

    test('nothing half is left of what is refused: no object, no rule', async () => {
      const rules = () => part.world.sh('node-1', 'nft -s list ruleset | grep -v expires');
      const before = await rules();
      const wrong = (name: string, spec: string) =>
        `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
      const manifest = [
        wrong('half-1', '{clusterIP: 192.0.2.1, ports: [{port: 80}]}'),
        wrong(
          'half-2',
          '{type: NodePort, ports: [{name: a, port: 80, nodePort: 31001}, {name: b, port: 81, nodePort: 30007}]}',
        ),
        wrong('half-3', '{ipFamilies: [IPv6], clusterIP: 10.96.0.9, ports: [{port: 80}]}'),
        wrong('Half', '{ports: [{port: 80}]}'),
      ];
      const { code, stderr } = await part.world.machine.run('kubectl', ['apply', '-f', '-'], manifest.join('---\n'));
      assert.equal(code, 1);
      for (const words of [
        /"half-1" is invalid: spec\.clusterIPs: Invalid value: \["192\.0\.2\.1"\]: failed to allocate IP/,
        /"half-2" is invalid: spec\.ports\[1\]\.nodePort: Invalid value: 30007: provided port is already allocated/,
        /"half-3" is invalid: spec\.clusterIPs\[0\]: Invalid value: "10\.96\.0\.9": expected an IPv6 value/,
        /"Half" is invalid: metadata\.name: Invalid value: "Half": a lowercase RFC 1123 label/,
      ]) {
        assert.match(stderr, words);
      }
      assert.equal(await rules(), before);
      assert.equal(/half/i.test(await part.world.machine.kubectl('get', 'services', '-o', 'name')), false);
    });

    test('agents and the daemon are killed: what is open goes on, and no new connection fails', () =>
      killAgents(part.world));
  });
}
