// Which connections are looked at when policies change, and when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlowEnd } from '../kernel/kernel.ts';
import type { Fragment } from '../plan/plan.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import type { IsolatedPod } from '../plan/policy/node-policies.ts';
import { endsOfForbidden, FlowCutter } from './policy-flows.ts';

const WEB: IsolatedPod = { key: 'shop/web', link: 'pw1', ips: ['10.244.0.5', 'fd00::5'], directions: ['ingress'] };
const DB: IsolatedPod = { key: 'shop/db', link: 'pw2', ips: ['10.244.0.6'], directions: ['ingress', 'egress'] };
const WEB_IN: FlowEnd[] = [{ replySrc: '10.244.0.5' }, { replySrc: 'fd00::5' }];
const DB_IN: FlowEnd[] = [{ replySrc: '10.244.0.6' }];
const DB_OUT: FlowEnd[] = [{ originalSrc: '10.244.0.6' }];

/** With an element of that key. */
function fragment(...key: string[]): Fragment {
  const element = { kind: 'element', family: 'ip', table: 'podwire-policy', set: 's', key } as const;
  return { cause: { kind: 'Pod', name: 'p' }, items: [element] };
}

const OLD = fragment('10.244.1.1');
const NEW = fragment('10.244.1.2');
type Case = [key: string, before: Fragment | undefined, after: Fragment | undefined, ends: FlowEnd[]];
const PEER_OF_BOTH = [{ originalSrc: '10.244.1.1' }, { replySrc: '10.244.1.1' }];

const CASES: Record<string, Case> = {
  'a pod that is isolated now: its own': ['policy/pod/shop/web', undefined, NEW, WEB_IN],
  'a pod that is free again: none': ['policy/pod/shop/web', OLD, undefined, []],
  'a pod that no policy isolates here: none': ['policy/pod/shop/other', undefined, NEW, []],
  'what was allowed to a pod is not: those into it': ['policy/allow/ingress/shop/db/7', OLD, undefined, DB_IN],
  'what it was allowed is not: those from it': ['policy/allow/egress/shop/db/7', OLD, NEW, DB_OUT],
  'what is allowed besides: none': ['policy/allow/ingress/shop/db/7', undefined, NEW, []],
  'what is said again: none': ['policy/allow/ingress/shop/db/7', OLD, structuredClone(OLD), []],
  'what tiers say of a pod, new': ['policy/tier/egress/shop/db/0', undefined, NEW, DB_OUT],
  'what tiers said of a pod, and say no more': ['policy/tier/ingress/shop/db/0', OLD, undefined, DB_IN],
  'a peer that is one no more: its own': ['policy/peer/far/client', OLD, undefined, PEER_OF_BOTH],
  'a peer that has another address: those of both': [
    'policy/tier-peer/far/client',
    OLD,
    NEW,
    [...PEER_OF_BOTH, { originalSrc: '10.244.1.2' }, { replySrc: '10.244.1.2' }],
  ],
  'other blocks: all that policies judge': ['policy/blocks/4', OLD, NEW, [...WEB_IN, ...DB_IN, ...DB_OUT]],
};

for (const [name, [key, before, after, ends]] of Object.entries(CASES)) {
  test(`connections to look at for ${name}`, () => {
    const plan = new Map(before ? [[key, before]] : []);
    const found = endsOfForbidden(new Map([[key, after]]), plan, () => [WEB, DB]);
    const sorted = (list: readonly FlowEnd[]) => list.map((end) => JSON.stringify(end)).sort();
    assert.deepEqual(sorted(found), sorted(ends));
  });
}

test('what changes while a look is under way is looked at after it, together', async () => {
  const looks: { readonly ends: readonly FlowEnd[]; readonly end: (cut: number) => void }[] = [];
  const began: (() => void)[] = [];
  const kernel = {
    cutFlows: (ends: readonly FlowEnd[]) =>
      new Promise<number>((end) => {
        looks.push({ ends, end });
        began.shift()?.();
      }),
  };
  const cutter = new FlowCutter(kernel, new PolicyEngine(), 'node-1');
  await cutter.idle;
  const look = () => new Promise<void>((resolve) => began.push(resolve));
  const first = look();
  cutter.cutSoon(WEB_IN);
  cutter.cutSoon(DB_IN);
  await first;
  assert.deepEqual(looks[0]!.ends, [...WEB_IN, ...DB_IN]);
  const second = look();
  cutter.cutSoon(DB_OUT);
  cutter.cutSoon(DB_OUT);
  cutter.cutSoon(WEB_IN);
  let idle = false;
  void cutter.idle.then(() => {
    idle = true;
  });
  assert.equal(looks.length, 1);
  looks[0]!.end(1);
  await second;
  assert.deepEqual(looks[1]!.ends, [...DB_OUT, ...WEB_IN]);
  assert.equal(idle, false);
  looks[1]!.end(0);
  await cutter.idle;
  assert.equal(looks.length, 2);
  cutter.close();
});
