// The DNS server behind a real API server: names follow what is written there, and outlive it.
import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { test } from 'node:test';
import { createInformers } from '../../src/cache/informers.ts';
import { Client } from '../../src/client/client.ts';
import { startDns } from '../../src/dns/start.ts';
import { startTestApi } from '../api/server.ts';

/** A loopback address of this process's own. */
const address = `127.53.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;
const port = 5399;

async function until<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  const end = performance.now() + 30_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > end) throw new Error(`${what} has not come to pass`, { cause: error });
    }
  }
}

test('names follow the API server within milliseconds, and stay when it goes away', async (t) => {
  const api = await startTestApi(t);
  const client = new Client(api.transport);
  const informers = createInformers(client);
  const start = () =>
    startDns({
      informers: {
        services: informers.of('Service'),
        endpointSlices: informers.of('EndpointSlice'),
        namespaces: informers.of('Namespace'),
      },
      options: {
        nodeName: 'node-1',
        clusterDomain: 'cluster.local',
        dnsIPs: [address],
        dnsUpstreams: [],
        clusterPodCIDRs: ['10.244.0.0/16'],
        serviceCIDRs: ['10.96.0.0/16'],
        nodeCIDRs: ['172.30.0.0/24'],
      },
      port,
    });
  const server = start();
  t.after(() => {
    server.close();
    informers.close();
  });
  assert.throws(start, /^Fault: DNS cannot listen on 127\.53\.\S+ port 5399: EADDRINUSE$/);
  await server.ready;
  const resolver = new Resolver({ timeout: 5000, tries: 1 });
  resolver.setServers([`${address}:${port}`]);
  assert.deepEqual(await resolver.resolve4('kubernetes.default.svc.cluster.local'), ['10.96.0.1']);

  const spec = { clusterIP: '10.96.0.77', ports: [{ name: 'http', port: 80 }] };
  const web = await client.create('Service', { metadata: { name: 'web', namespace: 'default' }, spec });
  const began = performance.now();
  const name = 'web.default.svc.cluster.local';
  assert.deepEqual(await until('the Service has a name', () => resolver.resolve4(name)), ['10.96.0.77']);
  t.diagnostic(`from the write's answer to the right DNS answer: ${(performance.now() - began).toFixed(1)} ms`);
  assert.deepEqual(await resolver.reverse('10.96.0.77'), [name]);
  assert.equal((await resolver.resolveSrv(`_http._tcp.${name}`))[0]?.port, 80);

  await client.delete('Service', web.metadata.name, 'default');
  await until('the name is gone', () => assert.rejects(resolver.resolve4(name), { code: 'ENOTFOUND' }));

  await api.close();
  assert.deepEqual(await resolver.resolve4('kubernetes.default.svc.cluster.local'), ['10.96.0.1']);
  assert.equal(server.status().synced, true);
});
