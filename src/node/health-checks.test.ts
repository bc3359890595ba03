// Room node: health checks as a load balancer asks for them, and the proxy's metrics as Prometheus does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../plan/plan.ts';
import { HealthChecks } from './health-checks.ts';
import { serveProxy } from './proxy-server.ts';
import { ProxyStats } from './proxy-stats.ts';

/** A loopback address that no other test has. */
const IP = `127.77.${(process.pid >> 8) & 255}.${process.pid & 255}`;

/** A port of it that was free a moment ago. */
async function freePort(): Promise<number> {
  const { createServer } = process.getBuiltinModule('node:net');
  const server = createServer().listen(0, IP);
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a health check tells how many endpoints the node has, 503 without one, and ends with the Service', async (t) => {
  const checks = new HealthChecks([IP]);
  t.after(() => checks.close());
  const port = await freePort();
  const check = { namespace: 'shop', name: 'web', port };
  const ask = () => fetch(`http://${IP}:${port}/`, { headers: { connection: 'close' } });
  checks.set('shop/web', { ...check, localEndpoints: 2 });
  const good = await ask();
  assert.equal(good.status, 200);
  assert.equal(good.headers.get('x-load-balancing-endpoint-weight'), '2');
  const expected = { service: { namespace: 'shop', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: true };
  assert.deepEqual(await good.json(), expected);
  checks.set('shop/web', { ...check, localEndpoints: 0 });
  assert.equal((await ask()).status, 503);
  checks.set('shop/web', undefined);
  await assert.rejects(ask());
});

test("metrics have kube-proxy's names, and counters the Service that they count for", async (t) => {
  const stats = new ProxyStats();
  stats.sync.observe(0.003);
  stats.sync.observe(99);
  stats.serviceChanges = 7;
  const key = ['10.96.0.7', 'tcp', 80];
  const element = { kind: 'element', family: 'ip', table: 'podwire', set: 'dropped', key } as const;
  const cause = { kind: 'Service', namespace: 'shop', name: 'web' };
  const plan: Plan = new Map([['service/shop/web', { cause, items: [element] }]]);
  const facts = { nodeName: 'n', nodeIPs: ['10.0.0.1'], ownPodCIDRs: [], podCIDRs: [], serviceCIDRs: [], dnsIPs: [] };
  const port = await freePort();
  const server = serveProxy(
    {
      kernel: { nftCounts: () => [{ key, packets: 5, bytes: 300 }] },
      plan,
      facts: () => facts,
      stats,
      pending: () => ({ services: 0, endpoints: 0 }),
      withoutLocal: () => ({ internal: 2, external: 0 }),
      mode: 'nftables',
    },
    port,
    IP,
  );
  t.after(() => server.close());
  const ask = (path: string) => fetch(`http://${IP}:${port}${path}`, { headers: { connection: 'close' } });
  const text = await (await ask('/metrics')).text();
  for (const line of [
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002"} 0',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004"} 1',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="+Inf"} 2',
    'kubeproxy_sync_proxy_rules_duration_seconds_count 2',
    'kubeproxy_network_programming_duration_seconds_count 0',
    'kubeproxy_sync_proxy_rules_service_changes_total 7',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal"} 2',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"} 0',
    'podwire_service_dropped_packets_total{namespace="shop",service="web",address="10.96.0.7",protocol="tcp",port="80"} 5',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  }
  assert.equal(await (await ask('/proxyMode')).text(), 'nftables');
  assert.equal((await ask('/nothing')).status, 404);
});
