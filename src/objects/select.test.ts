// Room objects: label and field selectors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindRow } from './kinds.ts';
import { matchesSelector, parseFieldSelector, parseLabelSelector, requirementHolds, selectorText } from './select.ts';
import type { DraftObject } from './types.ts';

const labels = { app: 'web', tier: 'front', 'example.com/rank': '7', empty: '' };

const matching: [selector: string, matches: boolean][] = [
  ['', true],
  ['app=web', true],
  ['app == web , tier!=back', true],
  ['app=db', false],
  ['missing!=x', true],
  ['tier in (front, back)', true],
  ['tier notin (front)', false],
  ['missing notin (a)', true],
  ['app', true],
  ['missing', false],
  ['!missing', true],
  ['! app', false],
  ['empty=', true],
  ['empty=,app=web', true],
  ['empty in (,x)', true],
  ['example.com/rank>6', true],
  ['example.com/rank < 7', false],
  ['app=web,!missing,tier in (front)', true],
];
for (const [selector, matches] of matching) {
  test(`the selector '${selector}' ${matches ? 'matches' : 'does not match'}`, () => {
    assert.equal(parseLabelSelector(selector)(labels), matches);
  });
}

for (const selector of [
  'app=web,',
  ',app',
  'a b',
  'a in b',
  'a in (b',
  'a in (b))',
  '/x',
  'a=b=c',
  'a=-',
  '=a',
  'a > b',
]) {
  test(`the selector '${selector}' is refused with 400`, () => {
    assert.throws(() => parseLabelSelector(selector), {
      name: 'StatusError',
      code: 400,
      message: /unable to parse requirement/,
    });
  });
}

test('a LabelSelector: none selects nothing, an empty one everything', () => {
  assert.equal(matchesSelector(undefined, labels), false);
  assert.equal(matchesSelector({}, undefined), true);
  const selector = {
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['front', 'back'] },
      { key: 'missing', operator: 'DoesNotExist' },
    ],
  };
  assert.equal(matchesSelector(selector, labels), true);
  assert.equal(matchesSelector(selector, { ...labels, missing: '' }), false);
  assert.equal(selectorText(selector), '!missing,app=web,tier in (back,front)');
  assert.equal(parseLabelSelector(selectorText(selector))(labels), true);
});

test('Gt and Lt compare whole numbers, and hold for nothing else', () => {
  const over = (value: string | undefined, bound: string) =>
    requirementHolds({ operator: 'Gt', values: [bound] }, value);
  assert.equal(over('10', '9'), true);
  assert.equal(over('9', '10'), false);
  for (const [value, bound] of [
    ['x', '1'],
    ['1', 'x'],
    [undefined, '1'],
  ] as const)
    assert.equal(over(value, bound), false);
});

const pod: DraftObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', namespace: 'shop' },
  spec: { nodeName: 'n1' },
  status: { phase: 'Running', podIPs: [{ ip: '10.244.0.7' }] },
};

const fields: [selector: string, matches: boolean][] = [
  ['', true],
  ['metadata.name=web-1,metadata.namespace=shop', true],
  ['spec.nodeName==n1', true],
  ['spec.nodeName=', false],
  ['status.phase!=Succeeded,status.phase!=Failed', true],
  ['status.podIP=10.244.0.7', true],
  ['spec.hostNetwork=false', true],
];
for (const [selector, matches] of fields) {
  test(`the field selector '${selector}' ${matches ? 'matches' : 'does not match'}`, () => {
    assert.equal(parseFieldSelector(kindRow('Pod'), selector)(pod), matches);
  });
}

test('a field that the kind cannot be selected by is refused, in the words of Kubernetes', () => {
  assert.throws(() => parseFieldSelector(kindRow('Pod'), 'spec.colour=red'), {
    code: 400,
    message: 'field label not supported: spec.colour',
  });
  assert.throws(() => parseFieldSelector(kindRow('Lease'), 'spec.colour=red'), {
    code: 400,
    message: '"spec.colour" is not a known field selector: only "metadata.name", "metadata.namespace"',
  });
  assert.throws(() => parseFieldSelector(kindRow('Pod'), 'nonsense'), { code: 400 });
});

test('events are selected by the object that they are about', () => {
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {},
    involvedObject: { kind: 'Pod', name: 'web-1' },
    type: 'Normal',
  };
  assert.equal(parseFieldSelector(kindRow('Event'), 'involvedObject.name=web-1,type=Normal')(event), true);
  assert.equal(parseFieldSelector(kindRow('Event'), 'involvedObject.kind!=Pod')(event), false);
});
