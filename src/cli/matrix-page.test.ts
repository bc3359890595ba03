// The matrix as a page: whole in itself, one cell a pair with its reason, and nothing of a name taken for HTML.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkPolicy } from '../objects/types.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { matrixOf } from '../plan/policy/matrix.ts';
import { matrixPage } from './matrix-page.ts';

function engineOf(workloads: number): PolicyEngine {
  const engine = new PolicyEngine();
  for (let i = 0; i < workloads; i++) {
    const namespace = `ns-${i % 5}`;
    engine.setNamespace(namespace, {});
    const ports = new Map([['TCP/http', 8000 + i]]);
    const facts = { namespace, name: `app-${i}`, labels: { app: `a${i}` }, node: 'n', hostNetwork: false, ports };
    engine.setPod({ ...facts, key: `${namespace}/app-${i}`, ips: [`10.1.${i >> 8}.${i & 255}`] });
  }
  const to = (app: number) => ({ podSelector: { matchLabels: { app: `a${app}` } } });
  engine.setPolicy({
    metadata: { namespace: 'ns-0', name: 'only-5' },
    spec: { ...to(0), ingress: [{ from: [to(5)], ports: [{ port: 'http' }, { port: 53, protocol: 'UDP' }] }] },
  } as unknown as NetworkPolicy);
  return engine;
}

function parts(html: string) {
  const reasons = JSON.parse(/id="reasons">(.*?)<\/script>/s.exec(html)![1]!) as string[];
  const cells = [...html.matchAll(/<td class="(\w+)" data-r="(\d+)">(.*?)<\/td>/g)];
  return { reasons, cells: cells.map(([, kind, at, words]) => ({ kind, reason: reasons[Number(at)]!, words })) };
}

test('each cell has its kind, what fits, and the rules that decide', () => {
  const engine = engineOf(11);
  const matrix = matrixOf(engine);
  const { cells } = parts(matrixPage(matrix, engine, 'cluster x'));
  const cell = (from: string, to: string) =>
    cells[matrix.cells.findIndex((each) => each.from === from && each.to === to)]!;
  assert.equal(cells.length, 121);
  assert.equal(cell('ns-1/app-1', 'ns-2/app-2').words, '●');
  const some = cell('ns-0/app-5', 'ns-0/app-0');
  assert.deepEqual([some.kind, some.words], ['some', '8000+1']);
  assert.match(
    some.reason,
    /^TCP 8000:\n {2}egress .*\n {2}ingress {2}ns-0\/app-0 allowed by NetworkPolicy\/ns-0\/only-5 ingress\[0\]/,
  );
  assert.match(some.reason, /all else:\n.*\n.*denied: isolated by NetworkPolicy\/ns-0\/only-5/);
  const none = cell('ns-1/app-1', 'ns-0/app-0');
  assert.deepEqual([none.kind, none.words], ['none', '']);
});

test('a hundred workloads are a page that asks the network for nothing', () => {
  const engine = engineOf(100);
  const html = matrixPage(matrixOf(engine), engine, '<b>&');
  assert.equal(parts(html).cells.length, 10_000);
  assert.doesNotMatch(html, /https?:|<link|@import|url\(|\bsrc=|<b>&/);
  assert.ok(html.length < 2_000_000, `${html.length} characters`);
  const script = /<script>(.*?)<\/script>/s.exec(html)![1]!;
  // Only whether it is a program at all.
  assert.doesNotThrow(() => new Function(script));
});
