// Services of every form inside the cluster: from pods, nodes and the machine.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../cluster/machine.ts';
import { BOTH, type ClusterPart, DOMAIN, EVERYBODY, HTTP, REFUSED, SILENT } from './cluster-world.ts';

export function insideTests(part: ClusterPart): void {
  describe('what every Service does', { skip: part.skip }, () => {
    test('a selector and a port, from pods, nodes and the machine; endpoints see pods as they are', async () => {
      const ips = await part.world.clusterIPs('my-service');
      await part.fromEverybody(ips, 80, BOTH);
      assert.equal(await part.world.seen('client', ips[0]!, 80), part.world.pods.client.v4);
      assert.deepEqual(await part.world.dig('my-service'), ips);
      assert.deepEqual(await part.world.http('client', 'my-service', 80, { path: 'healthz' }), []);
    });

    test('a targetPort by name, which is another number in each pod', async () => {
      await part.fromEverybody(await part.world.clusterIPs('named'), 80, BOTH);
    });

    test('several ports, one of them with three protocols', async () => {
      for (const ip of await part.world.clusterIPs('multi')) {
        await part.world.reaches('client', ip, 80, BOTH);
        await part.world.reaches('client', ip, 53, BOTH);
        for (const asker of ['client', 'node-3', 'machine'] as const) {
          assert.ok(BOTH.includes(await part.world.udp(asker, ip, 53)), `${ip} by datagram from ${asker}`);
        }
        const family = ip.includes(':') ? 'ip6' : 'ip';
        const rules = await part.world.sh('node-1', `nft -j list map ${family} podwire endpoints`);
        assert.match(rules, new RegExp(`"${ip}", ?"sctp", ?53`));
      }
      assert.deepEqual(await part.world.dig(`_tell._udp.multi.${DOMAIN}`, 'SRV'), [`0 100 53 multi.${DOMAIN}.`]);
    });

    test('no selector: endpoints by EndpointSlices of both families, or by Endpoints that are mirrored', async () => {
      for (const name of ['no-selector', 'by-endpoints']) {
        for (const ip of await part.world.clusterIPs(name)) {
          const [before] = await part.world.http('outside', '127.0.0.1', 8080);
          await part.fromEverybody([ip], 80, [before!]);
        }
      }
    });

    test('no endpoints: refused at once, everywhere', async () => {
      const [ip] = await part.world.clusterIPs('nobody');
      await part.fromEverybody([ip!], 80, [REFUSED]);
      const [other] = await part.world.clusterIPs('my-service');
      await part.fromEverybody([other!], 81, [REFUSED]);
      assert.equal(await part.world.udp('client', other!, 80), '');
    });

    test('addresses of its own choice, and of a further ServiceCIDR, to which nodes and machine have ways', async () => {
      await part.fromEverybody(['10.96.0.77', '10.97.0.9'], 80, BOTH);
      await part.fromEverybody(['10.97.0.9'], 81, [REFUSED]);
      await part.fromEverybody(['10.97.0.10'], 80, [REFUSED]);
      assert.deepEqual(await part.world.dig(`-x 10.97.0.9`, ''), [`further.${DOMAIN}.`]);
      const routes = await part.world.machine.must('ip', ['route', 'show', '10.97.0.0/24']);
      assert.match(routes, /via 172\.30\.0\.11 /);
    });

    test('headless: names of the pods alone', async () => {
      for (const name of ['headless', 'headless-without-ports']) {
        assert.deepEqual(await part.world.dig(name), [part.world.pods['web-1'].v4, part.world.pods['web-2'].v4].sort());
      }
      assert.deepEqual(
        await part.world.dig('headless', 'AAAA'),
        [part.world.pods['web-1'].v6, part.world.pods['web-2'].v6].sort(),
      );
      await part.world.reaches('client', 'headless', HTTP, BOTH);
    });

    test('hostAliases: names of the pod alone', async () => {
      assert.match(await part.world.sh('client', 'getent hosts bar.remote'), /^10\.1\.2\.3 +foo\.remote bar\.remote/);
    });

    test('ExternalName: an alias, which nobody translates', async () => {
      const text = await part.world.sh('client', `dig my-database.${DOMAIN} CNAME +short`);
      assert.equal(text.trim(), 'my.database.example.com.');
      await part.world.reaches('client', 'alias', 80, BOTH);
    });

    test('families: what they are asked for is what they have, and each answers', async () => {
      const families = async (name: string) =>
        (await part.world.service(name)).spec.clusterIPs!.map((ip) => (ip.includes(':') ? 6 : 4));
      for (const [name, expected] of [
        ['my-service', [4]],
        ['named', [4, 6]],
        ['required', [4, 6]],
        ['only-v6', [6]],
        ['v6-first', [6, 4]],
      ] as const) {
        assert.deepEqual(await families(name), expected, name);
        const short = async (type: string) => (await part.world.dig(name, type)).length;
        assert.deepEqual(
          [await short('A'), await short('AAAA')],
          [4, 6].map((f) => Number(expected.includes(f as never))),
        );
        await part.fromEverybody(await part.world.clusterIPs(name), 80, BOTH);
      }
    });

    test('a pod reaches itself', async () => {
      for (const ip of await part.world.clusterIPs('self')) await part.world.reaches('web-1', ip, 80, ['web-1']);
    });

    test('sessionAffinity: each client stays where it is', async () => {
      for (const ip of await part.world.clusterIPs('sticky')) {
        for (const asker of [...EVERYBODY, 'web-2'] as const) {
          await until(`${asker} is answered`, async () => BOTH.includes((await part.world.http(asker, ip, 80))[0]!));
          assert.equal(new Set(await part.world.http(asker, ip, 80, { count: 12 })).size, 1, asker);
        }
      }
    });
  });

  describe('traffic that stays near', { skip: part.skip }, () => {
    test('internalTrafficPolicy Local: this node alone; where it has none a drop, counted under its name', async () => {
      const [ip] = await part.world.clusterIPs('inside');
      await part.world.reaches('web-1', ip!, 80, ['web-1']);
      await part.world.reaches('node-1', ip!, 80, ['web-1']);
      await part.world.reaches('web-2', ip!, 80, ['web-2']);
      for (const asker of ['client', 'node-3'] as const) {
        assert.deepEqual(await part.world.http(asker, ip!, 80, { seconds: 1 }), [SILENT], asker);
      }
      const metrics = await part.world.sh('node-3', 'curl -s 127.0.0.1:10249/metrics');
      const [, dropped] =
        /podwire_service_dropped_packets_total\{[^}]*service="inside"[^}]*\} (\d+)/.exec(metrics) ?? [];
      assert.ok(Number(dropped) >= 2, metrics);
      for (const policy of ['internal', 'external'])
        assert.match(metrics, new RegExp(`no_local_endpoints_total\\{traffic_policy="${policy}"\\} [1-9]`));
      const rules = await part.world.sh('node-3', 'nft list set ip podwire dropped');
      assert.match(
        rules,
        new RegExp(`${ip} . tcp . 80 counter packets [1-9].*Service/default/inside: no endpoint on this node`),
      );
    });

    test('trafficDistribution and topology-mode: same node, same zone', async () => {
      const ipOf = async (name: string) => (await part.world.clusterIPs(name))[0]!;
      const [node, zone, close, auto] = [
        await ipOf('same-node'),
        await ipOf('same-zone'),
        await ipOf('close'),
        await ipOf('auto'),
      ];
      await part.world.reaches('web-1', node, 80, ['web-1']);
      await part.world.reaches('web-2', node, 80, ['web-2']);
      // None on its node: then of its zone, where node-2 is too.
      for (const ip of [node, zone, close, auto]) await part.world.reaches('client', ip, 80, ['web-2']);
      for (const ip of [zone, close, auto]) await part.world.reaches('node-1', ip, 80, ['web-1']);
    });
  });
}
