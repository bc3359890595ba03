// Room node: a pod's status on its way to the API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client } from '../client/client.ts';
import type { ApiRequest, Transport } from '../client/transport.ts';
import type { Pod } from '../objects/types.ts';
import { pod } from './pod-view.fixture.ts';
import type { PodStatus } from './pod-view.ts';
import { StatusWriter } from './status-writer.ts';

/** An API server with one pod, which keeps of a status what `keep` lets through. */
class OnePod {
  stored: Pod = { ...pod(), status: { phase: 'Pending' } };
  readonly changes: unknown[] = [];
  inFlight = 0;
  most = 0;
  broken = false;
  keep = (status: PodStatus): PodStatus => status;

  readonly transport: Transport = {
    request: async ({ body }: ApiRequest) => {
      this.most = Math.max(this.most, ++this.inFlight);
      await new Promise(setImmediate);
      this.inFlight--;
      if (this.broken) throw new Error('the API server is away');
      const { status } = body as { status: PodStatus };
      this.changes.push(status);
      const metadata = {
        ...this.stored.metadata,
        resourceVersion: `${Number(this.stored.metadata.resourceVersion) + 1}`,
      };
      this.stored = { ...this.stored, metadata, status: this.keep({ ...this.stored.status, ...status }) };
      return { status: 200, body: this.stored };
    },
    watch: () => ({ done: new Promise(() => {}), stop() {} }),
    close() {},
  };
}

/** Asks for `wanted` again after each write, as a worker does, until nothing is left to write. */
function settle(api: OnePod, wanted: () => PodStatus): Promise<StatusWriter> {
  return new Promise((resolve) => {
    const writer = new StatusWriter(new Client(api.transport), api.stored, again);
    function again(): void {
      if (writer.write(wanted())) resolve(writer);
    }
    again();
    again();
  });
}

describe('writing a status', () => {
  it('sends the difference once, one write at a time', async () => {
    const api = new OnePod();
    await settle(api, () => ({ phase: 'Running', podIP: '10.244.0.5' }));
    assert.deepEqual(api.changes, [{ phase: 'Running', podIP: '10.244.0.5' }]);
    assert.equal(api.most, 1);
  });

  it('does not insist on what the server drops', async () => {
    const api = new OnePod();
    api.keep = ({ hostIPs: _, ...rest }) => rest;
    await settle(api, () => ({ phase: 'Running', hostIPs: [{ ip: '172.30.0.11' }] }));
    assert.equal(api.changes.length, 2);
  });

  it('says again what another has overwritten', async () => {
    const api = new OnePod();
    const wanted: PodStatus = { phase: 'Running' };
    const writer = await settle(api, () => wanted);
    assert.equal(writer.write(wanted), true);
    writer.heard({
      ...api.stored,
      metadata: { ...api.stored.metadata, resourceVersion: '99' },
      status: { phase: 'Unknown' },
    });
    assert.equal(writer.write(wanted), false);
  });

  it('takes no word of an older version, or of another pod of the same name', () => {
    const api = new OnePod();
    const writer = new StatusWriter(new Client(api.transport), api.stored, () => {});
    writer.heard({
      ...api.stored,
      metadata: { ...api.stored.metadata, resourceVersion: '3' },
      status: { phase: 'Failed' },
    });
    writer.heard({
      ...api.stored,
      metadata: { ...api.stored.metadata, resourceVersion: '99', uid: 'x' },
      status: { phase: 'Failed' },
    });
    assert.equal(writer.base.phase, 'Pending');
  });

  it('tries again when the API server was away', async () => {
    const api = new OnePod();
    api.broken = true;
    setTimeout(() => {
      api.broken = false;
    }, 20);
    const keepAlive = setTimeout(() => {}, 10_000);
    await settle(api, () => ({ phase: 'Running' }));
    clearTimeout(keepAlive);
    assert.equal(api.stored.status?.phase, 'Running');
  });
});
