// Room api: tests of the ServiceAccounts that pods run as.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startTestApi } from '../../test/api/server.ts';
import { Client } from '../client/client.ts';
import type { Draft, Pod } from '../objects/types.ts';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

async function cluster(t: TestContext) {
  const client = new Client((await startTestApi(t, { requireAccounts: true })).transport);
  const account = (name: string, namespace: string, rest: object = {}) =>
    client.create('ServiceAccount', { metadata: { name, namespace }, ...rest });
  await account('default', 'default');
  const create = async (name: string, spec: Partial<Pod['spec']> = {}, namespace = 'default') => {
    const pod: Draft<Pod> = {
      metadata: { name, namespace },
      spec: { containers: [{ name: 'c', image: 'host' }], ...spec },
    };
    return (await client.create('Pod', pod)).spec;
  };
  return { client, account, create };
}

test('every container finds the token, the CA and the namespace where Kubernetes puts them', async (t) => {
  const { create } = await cluster(t);
  const { volumes, containers, initContainers } = await create('a', {
    initContainers: [{ name: 'i', image: 'host' }],
    containers: [
      { name: 'c', image: 'host' },
      { name: 'own', image: 'host', volumeMounts: [{ name: 'mine', mountPath: MOUNT_PATH }] },
    ],
    volumes: [{ name: 'mine', emptyDir: {} }],
  });
  const { name, projected } = volumes![1]!;
  assert.match(name, /^kube-api-access-[a-z0-9]{5}$/);
  assert.deepEqual(projected?.sources, [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    {
      downwardAPI: {
        items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
      },
    },
  ]);
  const mount = [{ name, mountPath: MOUNT_PATH, readOnly: true }];
  assert.deepEqual([containers[0]!.volumeMounts, initContainers![0]!.volumeMounts], [mount, mount]);
  assert.deepEqual(containers[1]!.volumeMounts, [{ name: 'mine', mountPath: MOUNT_PATH }]);
});

test('a pod made from the manifest of another has one such volume', async (t) => {
  const { create } = await cluster(t);
  const spec = await create('a');
  const copy = await create('b', { ...spec, containers: [...spec.containers, { name: 'debugger', image: 'host' }] });
  assert.equal(copy.volumes?.length, 1);
  assert.deepEqual(copy.containers[1]!.volumeMounts, spec.containers[0]!.volumeMounts);
});

test('the pod, or else the account, may want no token; the account brings its imagePullSecrets', async (t) => {
  const { account, create } = await cluster(t);
  await account('quiet', 'default', { automountServiceAccountToken: false, imagePullSecrets: [{ name: 'registry' }] });
  assert.equal((await create('a', { automountServiceAccountToken: false })).volumes, undefined);
  const quiet = await create('b', { serviceAccountName: 'quiet' });
  assert.deepEqual([quiet.volumes, quiet.imagePullSecrets], [undefined, [{ name: 'registry' }]]);
  const told = await create('c', { serviceAccountName: 'quiet', automountServiceAccountToken: true });
  assert.equal(told.volumes?.length, 1);
});

test('a pod of a new namespace waits for the account that is on its way; one that does not come is named', async (t) => {
  const { client, account, create } = await cluster(t);
  await client.create('Namespace', { metadata: { name: 'new' } });
  const early = create('early', {}, 'new');
  await account('default', 'new');
  assert.equal((await early).serviceAccountName, 'default');
  await assert.rejects(create('lost', { serviceAccountName: 'nosuch' }), (error: Error & { code: number }) => {
    assert.equal(error.code, 403);
    const why = 'error looking up service account default/nosuch: serviceaccount "nosuch" not found';
    assert.equal(error.message, `pods "lost" is forbidden: ${why}`);
    return true;
  });
});
