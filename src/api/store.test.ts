// Room api: tests of the store: what is durable, what is remembered, what is taken back.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { KubeObject } from '../objects/types.ts';
import { RevisionDatabase } from './database.ts';
import { Store } from './store.ts';

function configMap(name: string, value = '1', namespace = 'default'): KubeObject {
  const metadata = { name, namespace, uid: name, resourceVersion: '', creationTimestamp: '2026-01-01T00:00:00Z' };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value } };
}

function temporaryFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-store-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'api.db');
}

const namesOf = (entries: readonly { name: string }[]) => entries.map((entry) => entry.name).join(' ');

test('what was acknowledged is there after the store was opened again, and revisions go on from there', async (t) => {
  const path = temporaryFile(t);
  const first = new Store({ path });
  first.put('configmaps', configMap('a'));
  const gone = first.put('configmaps', configMap('b'));
  first.remove('configmaps', gone.object);
  const last = first.put('configmaps', configMap('a', '2'));
  await first.durable(last.rev);
  await first.close();

  const second = new Store({ path });
  assert.equal(second.rev, last.rev);
  assert.equal(namesOf(second.bucket('configmaps').list()), 'a');
  assert.deepEqual(second.get('configmaps', 'default', 'a')?.object, last.object);
  assert.equal(second.bucket('configmaps').events.length, 4);
  await second.close();
});

test('two servers cannot share a state directory', async (t) => {
  const path = temporaryFile(t);
  const store = new Store({ path });
  assert.throws(() => new Store({ path }), /in use by another API server/);
  await store.close();
});

test('a list as of an earlier revision undoes what came after', async () => {
  const store = new Store({ path: ':memory:' });
  store.put('configmaps', configMap('a'));
  const b = store.put('configmaps', configMap('b'));
  store.put('configmaps', configMap('c'));
  store.put('configmaps', configMap('a', '2'));
  store.remove('configmaps', b.object);
  assert.equal(namesOf(store.listAt('configmaps', undefined, store.rev)), 'a c');
  const then = store.listAt('configmaps', 'default', b.rev);
  assert.equal(namesOf(then), 'a b');
  assert.deepEqual(then[0]?.object['data'], { value: '1' });
  await store.close();
});

test('compaction forgets the past but not the objects, on disk too', async (t) => {
  const path = temporaryFile(t);
  const store = new Store({ path, keepRevisions: 10 });
  for (let i = 0; i < 100; i++) {
    const entry = store.put('configmaps', configMap('busy', String(i)));
    if (i % 7 === 0) await store.durable(entry.rev);
  }
  const gone = store.put('configmaps', configMap('gone'));
  store.remove('configmaps', gone.object);
  await store.durable(store.rev);
  store.compact(store.rev);
  assert.equal(store.compactedRev, store.rev);
  const rev = store.rev;
  await store.close();

  const database = new RevisionDatabase(path);
  assert.deepEqual(
    [...database.revisions()].map((each) => each.name),
    ['busy'],
  );
  database.close();
  const again = new Store({ path });
  assert.equal(again.rev, rev);
  assert.equal(again.compactedRev, rev);
  assert.deepEqual(again.get('configmaps', 'default', 'busy')?.object['data'], { value: '99' });
  await again.close();
});

class FailingDatabase extends RevisionDatabase {
  failing = false;

  override append(revisions: Parameters<RevisionDatabase['append']>[0]): void {
    if (this.failing) throw new Error('database or disk is full');
    super.append(revisions);
  }
}

test('writes that the disk refused are taken back from memory, and the next ones go through', async () => {
  const database = new FailingDatabase(':memory:');
  const store = new Store({ path: ':memory:' }, database);
  const seen: string[] = [];
  store.onApply('configmaps', (next, prev) => seen.push(`${prev?.metadata.name ?? '-'}>${next?.metadata.name ?? '-'}`));
  await store.durable(store.put('configmaps', configMap('kept')).rev);
  database.failing = true;
  const lost = store.put('configmaps', configMap('lost'));
  await assert.rejects(store.durable(lost.rev), /disk is full/);
  assert.equal(store.get('configmaps', 'default', 'lost'), undefined);
  assert.deepEqual(seen, ['->kept', '->lost', 'lost>-']);
  database.failing = false;
  await store.durable(store.put('configmaps', configMap('next')).rev);
  assert.equal(namesOf(store.bucket('configmaps').list()), 'kept next');
  await store.close();
});

test('objects are listed by namespace, then name', async () => {
  const store = new Store({ path: ':memory:' });
  for (const [name, namespace] of [
    ['z', 'a'],
    ['b', 'b'],
    ['a', 'b'],
    ['c', 'a'],
  ] as const) {
    store.put('configmaps', configMap(name, '1', namespace));
  }
  assert.equal(namesOf(store.bucket('configmaps').list()), 'c z a b');
  assert.equal(namesOf(store.bucket('configmaps').list('b')), 'a b');
  await store.close();
});
