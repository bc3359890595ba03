// NodePorts, load balancers and external addresses: from a host outside, and from all others.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../cluster/machine.ts';
import { BOTH, type ClusterPart, EVERYBODY, NODES, OUTSIDE, REFUSED, SILENT } from './cluster-world.ts';

export function outsideTests(part: ClusterPart): void {
  describe('from outside', { skip: part.skip }, () => {
    test('NodePort: on every node, in both families; whoever is asked, the endpoint sees a node', async () => {
      for (const node of NODES) {
        for (const ip of [part.world.nodes[node]!.v4, part.world.nodes[node]!.v6]) {
          const askers = ['outside', 'machine', 'client', 'node-1'] as const;
          await Promise.all(askers.map((asker) => part.world.reaches(asker, ip, 30007, BOTH)));
          assert.equal(await part.world.seen('outside', ip, 30007), ip);
        }
      }
    });

    // kubernetes#57922: as with kube-proxy in its nftables mode.
    test('NodePorts are not open on loopback', async () => {
      for (const ip of ['127.0.0.1', '::1']) assert.deepEqual(await part.world.http('node-1', ip, 30007), [REFUSED]);
    });

    test("NodePorts are open at a node's further addresses where those are in nodePortAddresses, and not at others", async () => {
      await part.world.sh('node-1', 'ip addr add 172.30.0.77/24 dev eth0; ip addr add 192.168.77.1/32 dev eth0');
      await part.world.outside.run('ip', ['route', 'add', '192.168.77.1', 'via', part.world.nodes['node-1']!.v4]);
      await part.world.reaches('outside', '172.30.0.77', 30007, BOTH);
      await part.world.reaches('outside', '192.168.77.1', 30007, [REFUSED]);
      await part.world.sh('node-1', 'ip addr del 172.30.0.77/24 dev eth0; ip addr del 192.168.77.1/32 dev eth0');
    });

    test('externalTrafficPolicy Local: the client is seen, where an endpoint is; elsewhere a drop, but not for pods', async () => {
      const [one, , three] = NODES.map((node) => part.world.nodes[node]!);
      for (const [i, ip] of [one!.v4, one!.v6].entries()) {
        await part.world.reaches('outside', ip, 30008, ['web-1']);
        assert.equal(await part.world.seen('outside', ip, 30008), OUTSIDE[i]);
      }
      for (const ip of [three!.v4, three!.v6]) {
        assert.deepEqual(await part.world.http('outside', ip, 30008, { seconds: 1 }), [SILENT]);
        await part.world.reaches('client', ip, 30008, BOTH);
        await part.world.reaches('node-3', ip, 30008, BOTH);
        // From a pod of another node too, and its answers come back (kubernetes#74383).
        await part.world.reaches('web-2', ip, 30008, BOTH);
      }
    });

    test('a load balancer: an address out of the box, from everywhere; Local with its health checks', async () => {
      const addressOf = async (name: string) =>
        until(
          `${name} has an address`,
          async () => (await part.world.service(name)).status.loadBalancer.ingress?.[0]?.ip,
        );
      const ip = await addressOf('balanced');
      for (const asker of [...EVERYBODY, 'outside'] as const) await part.world.reaches(asker, ip, 80, BOTH);
      const local = await addressOf('balanced-local');
      const { spec } = await part.world.service('balanced-local');
      assert.equal(spec.ports[0]!.nodePort, undefined);
      await until(
        'the client itself is seen',
        async () => (await part.world.seen('outside', local, 80)) === OUTSIDE[0],
      );
      for (const [node, expected] of [
        ['node-1', '200 1'],
        ['node-2', '200 1'],
        ['node-3', '503 0'],
      ] as const) {
        const url = `http://${part.world.nodes[node]!.v4}:${spec.healthCheckNodePort}/`;
        const text = await part.world.sh('outside', `curl -s --max-time 20 -w ' %{http_code}' ${url}`);
        const [, count, code] = /"localEndpoints": ?(\d+) ?.* (\d+)$/s.exec(text) ?? [];
        assert.equal(`${code} ${count}`, expected, text);
      }
      const guarded = await addressOf('balanced-for-some');
      await part.world.reaches('outside', guarded, 80, BOTH);
      assert.deepEqual(await part.world.http('machine', guarded, 80, { seconds: 1 }), [SILENT]);
      assert.deepEqual((await part.world.service('other-class')).status.loadBalancer, {});
      await part.fromEverybody(await part.world.clusterIPs('other-class'), 80, BOTH);
    });

    test('externalIPs: whoever has a way to a node; nodes and the machine are given one', async () => {
      const route = (...words: string[]) => part.world.outside.run('ip', ['route', 'add', ...words]);
      await route('198.51.100.32', 'via', part.world.nodes['node-2']!.v4);
      await route('2001:db8::32', 'via', part.world.nodes['node-2']!.v6);
      for (const ip of ['198.51.100.32', '2001:db8::32']) {
        for (const asker of [...EVERYBODY, 'outside'] as const) await part.world.reaches(asker, ip, 80, BOTH);
      }
    });
  });
}
