// Room client: what a recorder sends, seen at the transport.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from './client.ts';
import { createRecorder } from './recorder.ts';
import type { ApiRequest, ApiResponse, Transport } from './transport.ts';

const web = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'shop', uid: 'u1' },
} as const;

function recordingTransport(answer: (request: ApiRequest) => ApiResponse): {
  sent: ApiRequest[];
  transport: Transport;
} {
  const sent: ApiRequest[] = [];
  const transport: Transport = {
    async request(request) {
      sent.push(request);
      return answer(request);
    },
    watch() {
      throw new Error('a recorder does not watch');
    },
    close() {},
  };
  return { sent, transport };
}

const created = (request: ApiRequest): ApiResponse => ({ status: request.method === 'POST' ? 201 : 200, body: {} });

test('an event carries what kubectl describe and get events print', async () => {
  const { sent, transport } = recordingTransport(created);
  const recorder = createRecorder(new Client(transport), 'kubelet', { host: 'node-1' });
  recorder.event(web, 'Normal', 'Started', 'Started container web', { fieldPath: 'spec.containers{web}' });
  await recorder.flush();
  assert.equal(sent[0]!.path, '/api/v1/namespaces/shop/events');
  const { metadata, firstTimestamp, lastTimestamp, ...body } = sent[0]!.body as Record<string, unknown>;
  assert.match((metadata as { name: string }).name, /^web\.[0-9a-f]+$/);
  assert.match(String(firstTimestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(lastTimestamp, firstTimestamp);
  assert.deepEqual(body, {
    apiVersion: 'v1',
    kind: 'Event',
    involvedObject: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: 'web',
      namespace: 'shop',
      uid: 'u1',
      fieldPath: 'spec.containers{web}',
    },
    reason: 'Started',
    message: 'Started container web',
    type: 'Normal',
    source: { component: 'kubelet', host: 'node-1' },
    reportingComponent: 'kubelet',
    reportingInstance: 'node-1',
    count: 1,
  });
});

test('equal events raise the count of one Event object, and an expired one starts anew', async () => {
  let gone = false;
  const { sent, transport } = recordingTransport((request) =>
    gone && request.method === 'PATCH' ? { status: 404, body: { code: 404, reason: 'NotFound' } } : created(request),
  );
  const recorder = createRecorder(new Client(transport), 'test');
  for (let i = 0; i < 3; i++) recorder.event(web, 'Warning', 'BackOff', 'restarting');
  await recorder.flush();
  recorder.event(web, 'Warning', 'BackOff', 'restarting');
  await recorder.flush();
  gone = true;
  recorder.event(web, 'Warning', 'BackOff', 'restarting');
  await recorder.flush();
  const seen = sent.map(({ method, body }) => [method, (body as { count: number }).count]);
  assert.deepEqual(seen, [
    ['POST', 3],
    ['PATCH', 4],
    ['PATCH', 5],
    ['POST', 1],
  ]);
});

test('one object can cause a burst of 25 different events, no more; a refused write harms nobody', async () => {
  const refuse = { status: 403, body: { code: 403, reason: 'Forbidden' } };
  const { sent, transport } = recordingTransport(() => refuse);
  const recorder = createRecorder(new Client(transport), 'test');
  for (let i = 0; i < 40; i++) recorder.event(web, 'Normal', 'Tick', `number ${i}`);
  await recorder.flush();
  assert.equal(sent.length, 25);
});
