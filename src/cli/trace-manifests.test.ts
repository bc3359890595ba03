// Traces over manifests: workloads, Services without addresses, names, policies, and no cluster at all.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { elsewhere, findEnd, findTarget } from '../trace/ends.ts';
import { traceFlow } from '../trace/walker.ts';
import { lookUpOffline, manifestCluster } from './trace-manifests.ts';

const MANIFESTS = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: i, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: sql, port: 80, targetPort: sql}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: admin}}}]}]}
`;

test('a name leads to a Service, to a pod, to the policy that refuses', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pwt-trace-'));
  try {
    writeFileSync(join(dir, 'all.yaml'), MANIFESTS);
    const cluster = await manifestCluster(dir);
    const web = findEnd(cluster, 'deploy/web', 'shop')!;
    assert.deepEqual(web.ips, findEnd(cluster, 'shop/web', 'default')!.ips);
    for (const text of ['shop/svc/db', 'svc/shop/db', 'shop/service/db'])
      assert.equal(findEnd(cluster, text, 'default')?.kind, 'service', text);
    assert.deepEqual(findEnd(cluster, 'deploy/shop/web', 'default')!.ips, web.ips);
    // TO is of the namespace of FROM; a bare name of a Service is looked up as the pod would.
    assert.equal(findTarget(cluster, 'svc/db', web, undefined)?.kind, 'service');
    assert.equal(findTarget(cluster, 'svc/db', web, 'default'), undefined);
    assert.equal(findTarget(cluster, 'db', web, undefined), undefined);
    assert.equal(findTarget(cluster, 'web', web, undefined)?.kind, 'pod');
    assert.equal(elsewhere(cluster, 'default/db'), 'there is shop/db, shop/svc/db');
    assert.equal(elsewhere(cluster, 'nix'), '');
    const { end, hops } = lookUpOffline(cluster, web, 'db', 'shop');
    assert.match(hops[0]!.says, /of Service\/shop\/db: db\.shop\.svc\.cluster\.local, name 1 of 4/);
    const packet = { src: web.ips[0]!, dst: end.ips[0]!, port: 80, protocol: 'TCP' as const };
    const [way] = traceFlow(cluster, { from: 'web', to: 'db', packet }).ways;
    assert.deepEqual([way!.ending.kind, way!.ending.stage, way!.ending.packet.port], ['lost', 'ingress', 5432]);
    assert.match(way!.ending.mend!, /NetworkPolicy\/shop\/db that allows pods app=web on 5432\/TCP/);
    assert.throws(() => lookUpOffline(cluster, web, 'www.example.com', 'shop'), /there is no "www\.example\.com"/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
