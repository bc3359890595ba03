// Room node: probes against servers on loopback.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server as NetServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import type { ExecProcess } from '../../runtime/runtime.ts';
import { container } from '../pod-view.fixture.ts';
import { frame, healthRequest, servingStatus } from './grpc.ts';
import { type Handler, type ProbeTarget, probe } from './probe.ts';
import { Prober, type Verdicts } from './prober.ts';

let web: Server;
let port: number;
let healthy = true;
const seen: Record<string, string | string[] | undefined>[] = [];

function listen(server: NetServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

before(async () => {
  web = createServer((request, response) => {
    seen.push(request.headers);
    const code = Number(request.url?.slice(1)) || (healthy ? 200 : 500);
    if (request.url !== '/never') response.writeHead(code).end();
  });
  port = await listen(web);
});
after(() => {
  web.closeAllConnections();
  web.close();
});

function target(exec: ProbeTarget['exec'] = () => Promise.reject(new Error('no exec'))): ProbeTarget {
  return { container: container('app', { ports: [{ name: 'web', containerPort: port }] }), podIP: '127.0.0.1', exec };
}

const ask = (handler: Handler, timeoutMs = 5000) => probe(handler, target(), timeoutMs);

describe('httpGet', () => {
  for (const [code, ok] of [
    [200, true],
    [302, true],
    [399, true],
    [404, false],
    [503, false],
  ] as const) {
    it(`${code} is ${ok ? 'good' : 'bad'}`, async () => {
      const result = await ask({ httpGet: { path: `/${code}`, port } });
      assert.deepEqual(result, { ok, output: ok ? '' : `HTTP probe failed with statuscode: ${code}` });
    });
  }

  it('sends the headers of the manifest, to a port by its name', async () => {
    const httpHeaders = [
      { name: 'Host', value: 'shop.example' },
      { name: 'X-Probe', value: 'yes' },
    ];
    assert.equal((await ask({ httpGet: { port: 'web', httpHeaders } })).ok, true);
    const headers = seen.at(-1)!;
    assert.equal(headers['host'], 'shop.example');
    assert.equal(headers['x-probe'], 'yes');
    assert.match(headers['user-agent'] as string, /^kube-probe\//);
  });

  it('gives up when its time is over', async () => {
    const { ok, output } = await ask({ httpGet: { path: '/never', port } }, 50);
    assert.equal(ok, false);
    assert.match(output, /no answer within 50 ms/);
  });

  it('a port that nobody has is said to be', async () => {
    assert.match((await ask({ httpGet: { port: 'admin' } })).output, /couldn't find port admin/);
  });
});

describe('tcpSocket', () => {
  it('a listener is good, a closed port bad', async () => {
    assert.equal((await ask({ tcpSocket: { port } })).ok, true);
    const other = createTcpServer();
    const closed = await listen(other);
    await new Promise((resolve) => other.close(resolve));
    const { ok, output } = await ask({ tcpSocket: { port: closed } });
    assert.equal(ok, false);
    assert.match(output, /ECONNREFUSED/);
  });
});

describe('exec', () => {
  function process(code: number, output: string): ExecProcess {
    const stdout = new PassThrough();
    stdout.end(output);
    return { stdin: undefined, stdout, stderr: undefined, resize() {}, exit: Promise.resolve(code), kill() {} };
  }
  it('is judged by its exit code, and its output is kept', async () => {
    const good = await probe(
      { exec: { command: ['x'] } },
      target(async () => process(0, 'fine')),
      1000,
    );
    const bad = await probe(
      { exec: { command: ['x'] } },
      target(async () => process(3, 'broken')),
      1000,
    );
    assert.deepEqual([good.ok, bad.ok], [true, false]);
  });

  it('is killed when its time is over', async () => {
    let killed = false;
    const exit = Promise.withResolvers<number>();
    const stuck = {
      ...process(0, ''),
      exit: exit.promise,
      kill: () => {
        killed = true;
        exit.resolve(137);
      },
    };
    const { ok, output } = await probe(
      { exec: { command: ['x'] } },
      target(async () => stuck),
      20,
    );
    assert.deepEqual([ok, killed], [false, true]);
    assert.match(output, /timed out/);
  });
});

describe('grpc', () => {
  /** Answers health checks with the status, after the framing and path that gRPC prescribes. */
  async function health(status: number, grpcStatus = '0') {
    const requests: { path: string; body: Buffer }[] = [];
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        requests.push({ path: headers[':path']!, body: Buffer.concat(chunks) });
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': grpcStatus }));
        stream.end(frame(Buffer.from([0x08, status])));
      });
    });
    const at = await listen(server as unknown as NetServer);
    return { at, requests, close: () => server.close() };
  }

  for (const [status, grpcStatus, ok] of [
    [1, '0', true],
    [2, '0', false],
    [1, '5', false],
  ] as const) {
    it(`status ${status} with code ${grpcStatus} is ${ok ? 'good' : 'bad'}`, async () => {
      const server = await health(status, grpcStatus);
      assert.equal((await ask({ grpc: { port: server.at, service: 'shop' } })).ok, ok);
      assert.deepEqual(server.requests, [
        { path: '/grpc.health.v1.Health/Check', body: Buffer.from('\0\0\0\0\x06\x0a\x04shop') },
      ]);
      server.close();
    });
  }

  it('reads and writes the two messages', () => {
    assert.equal(healthRequest('').length, 0);
    assert.equal(healthRequest('x'.repeat(200)).subarray(0, 3).toString('hex'), '0ac801');
    assert.equal(servingStatus(Buffer.alloc(5)), 0);
  });
});

describe('the probes of a container', () => {
  const options = (spec: Parameters<typeof container>[1], onVerdict: (verdicts: Verdicts) => void) => ({
    target: { ...target(), container: container('app', spec) },
    startedAt: Date.now(),
    onVerdict,
    onFailure() {},
  });

  it('readiness waits for the startup probe, and comes quickly after a first failure', async () => {
    healthy = false;
    const probeSpec = { httpGet: { port }, periodSeconds: 10 };
    const said: Verdicts[] = [];
    const done = Promise.withResolvers<void>();
    const prober = new Prober(
      options({ startupProbe: probeSpec, readinessProbe: probeSpec }, (verdicts) => {
        said.push(verdicts);
        if (verdicts.ready) done.resolve();
      }),
    );
    assert.deepEqual(prober.verdicts, { started: false, ready: false });
    prober.start();
    setTimeout(() => {
      healthy = true;
    }, 60);
    await done.promise;
    prober.stop();
    assert.deepEqual(said, [
      { started: true, ready: false },
      { started: true, ready: true },
    ]);
  });

  it('what was ready before a restart of the agent is ready', () => {
    const before = { started: true, ready: true };
    const prober = new Prober({ ...options({ readinessProbe: { httpGet: { port } } }, () => {}), before });
    assert.deepEqual(prober.verdicts, before);
  });

  it('a failing liveness probe is named, with its own grace', async () => {
    healthy = false;
    const livenessProbe = {
      httpGet: { port },
      periodSeconds: 1,
      failureThreshold: 1,
      terminationGracePeriodSeconds: 3,
    };
    const verdict = await new Promise<Verdicts>((resolve) => new Prober(options({ livenessProbe }, resolve)).start());
    healthy = true;
    assert.match(verdict.failed!, /^failed liveness probe: HTTP probe failed/);
    assert.equal(verdict.graceSeconds, 3);
  });
});
