// Tests of agnhost: the words by which Kubernetes' network tests know it, in a container of the built-in image.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import { AGNHOST_PROGRAM } from '../../src/runtime/images/builtin.ts';
import { skip as cannot, container, ending, eventually, readLog, run, stdout, useNode } from './node.ts';

const skip = cannot || (existsSync(AGNHOST_PROGRAM) ? false : 'needs generated/agnhost.js: npm run prestart makes it');

describe('agnhost', { skip }, () => {
  const scene = useNode();
  const { node } = scene;
  const image = (name = 'podwire.io/agnhost') => ({ image: scene.runtime.images.resolve(name)! });
  const main = 'pod-netexec-0';
  before(async () => {
    const name = 'registry.k8s.io/e2e-test-images/agnhost:2.47';
    const spec = container(scene.runtime, node, 'pod', 'netexec', [], {
      ...image(name),
      args: ['netexec', '--http-port=8080'],
    });
    await scene.runtime.startContainer(spec);
    const log = () =>
      readLog(spec.logPath)
        .map(({ text }) => text)
        .join('\n');
    await eventually('both servers are up', () =>
      /HTTP server on port 8080[\s\S]*UDP server on port {2}8081/.test(log()),
    );
  });

  function curl(path: string, ...options: string[]): Promise<string> {
    const url = `http://127.0.0.1:8080${path}`;
    const format = ' %{http_code} %{local_port}';
    return new Promise((resolve, reject) => {
      execFile(
        'nsenter',
        [`--net=${scene.sandbox.netns}`, 'curl', '-sS', '-m', '20', '-w', format, ...options, url],
        (error, out) => (error ? reject(error) : resolve(out)),
      );
    });
  }

  /** Body and code. */
  const get = async (path: string, ...options: string[]) => (await curl(path, ...options)).replace(/ \d+$/, '');

  for (const [path, answer] of [
    ['/hostname', 'host-of-pod 200'],
    ['/hostName', 'host-of-pod 200'],
    ['/echo?msg=a%20%3Cb%3E', 'a <b> 200'],
    ['/echo?msg=no&code=404', 'no 404'],
    ['/echo?msg=no&code=x', 'argument \'code\' must be an integer or empty, got "x"\n 200'],
    ['/healthz', ' 200'],
    ['/readyz', 'ok 200'],
    ['/header?key=X-Way', 'here 200'],
    ['/dial?host=127.0.0.1&port=8080&request=hostname&tries=2', '{"responses":["host-of-pod","host-of-pod"]} 200'],
    ['/dial?host=127.0.0.1&port=8081&protocol=udp&request=hostname', '{"responses":["host-of-pod"]} 200'],
    ['/dial?host=127.0.0.1&port=8081&protocol=UDP&request=echo%20Hi', '{"responses":["hi"]} 200'],
    [
      '/dial?host=127.0.0.1&port=9&request=hostname',
      '{"errors":["Get \\"http://127.0.0.1:9/hostname\\": dial tcp 127.0.0.1:9: connect: connection refused"]} 200',
    ],
    ['/dial?host=127.0.0.1&port=8080', 'request parameter not specified. <nil>\n 400'],
    ['/dial?host=127.0.0.1&port=8080&request=x&protocol=ipx', 'unsupported protocol. ipx\n 400'],
    ['/shell?cmd=echo%20hi%3B%20exit%203', '{"error":"exit status 3","output":"hi\\n"} 200'],
    ['/redirect?location=/echo%3Fmsg=there&code=307', 'there 200'],
  ] as const) {
    it(`answers ${path}`, async () => {
      assert.equal(await get(path, '--location', '--header', 'X-Way: here'), answer);
    });
  }

  it('tells the client its address, over HTTP and UDP', async () => {
    const [, address, local] = /^(.*) 200 (\d+)$/.exec(await curl('/clientip'))!;
    assert.equal(address, `127.0.0.1:${local}`);
    const udp = await get('/dial?host=127.0.0.1&port=8081&protocol=udp&request=clientip');
    assert.match(udp, /^\{"responses":\["127\.0\.0\.1:\d+"\]\} 200$/);
  });

  it('says the time, and all headers', async () => {
    assert.match(await get('/'), /^NOW: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000 UTC m=\+\d+\.\d{9} 200$/);
    assert.deepEqual(
      JSON.parse((await get('/header', '--header', 'X-a: 1', '--header', 'x-A: 2')).slice(0, -4))['X-A'],
      ['1', '2'],
    );
  });

  async function exec(...command: string[]) {
    const started = await scene.runtime.exec(main, { command: ['/agnhost', ...command], tty: false, stdin: false });
    const [out, err, code] = await Promise.all([text(started.stdout), text(started.stderr!), started.exit]);
    return { out, err, code };
  }

  for (const [args, expected] of [
    [['connect', '127.0.0.1:8080'], { out: '', err: /^$/, code: 0 }],
    [['connect', '--timeout=3s', '127.0.0.1:1'], { out: '', err: /^REFUSED\n$/, code: 1 }],
    [
      ['connect', '--timeout', '50ms', '--protocol=udp', '--udp-data=silence', '127.0.0.1:8081'],
      { out: '', err: /^TIMEOUT/, code: 1 },
    ],
    [['connect', '--protocol', 'udp', '127.0.0.1:8081'], { out: '', err: /^$/, code: 0 }],
    [['connect', '--protocol', 'udp', '127.0.0.1:1'], { out: '', err: /^REFUSED/, code: 1 }],
    [['connect', '203.0.113.1:80'], { out: '', err: /^OTHER: .*network is unreachable/, code: 1 }],
    [['connect', 'localhost'], { out: '', err: /^UNKNOWN: address localhost: missing port in address\n$/, code: 1 }],
    [['connect', 'no-such-name.invalid:80'], { out: '', err: /^DNS: lookup no-such-name\.invalid/, code: 1 }],
    [['entrypoint-tester', 'a', 'b'], { out: '[/agnhost entrypoint-tester a b]\n', err: /^$/, code: 0 }],
  ] as const) {
    it(args.join(' '), async () => {
      const { out, err, code } = await exec(...args);
      assert.equal(out, expected.out);
      assert.match(err, expected.err);
      assert.equal(code, expected.code);
    });
  }

  it('porter serves what the environment says, serve-hostname the name', async () => {
    const env = [
      { name: 'SERVE_PORT_9001', value: 'tcp body' },
      { name: 'SERVE_UDP_PORT_9002', value: 'udp body' },
    ];
    const dial = async (port: number, protocol: string) =>
      get(`/dial?host=127.0.0.1&port=${port}&protocol=${protocol}&request=x&tries=1`);
    await scene.runtime.startContainer(
      container(scene.runtime, node, 'pod', 'porter', [], { ...image(), args: ['porter'], env }),
    );
    await scene.runtime.startContainer(
      container(scene.runtime, node, 'pod', 'hostname', [], { ...image(), args: ['serve-hostname'] }),
    );
    for (const [port, protocol, answer] of [
      [9001, 'http', 'tcp body'],
      [9002, 'udp', 'udp body'],
      [9376, 'http', 'host-of-pod'],
    ] as const) {
      let got = '';
      for (let i = 0; i < 500 && !got.includes('responses'); i++) got = await dial(port, protocol);
      assert.equal(got, `{"responses":["${answer}"]} 200`);
    }
  });

  it('pause ends by SIGTERM with code 2, netexec with 0', async () => {
    const pause = container(scene.runtime, node, 'pod', 'pause', [], image());
    const paused = ending(scene.runtime, pause.id);
    await scene.runtime.startContainer(pause);
    await eventually('it pauses', () => stdout(readLog(pause.logPath)).includes('Paused'));
    await scene.runtime.signalContainer(pause.id, 'SIGTERM');
    assert.equal((await paused).exitCode, 2);
    const ended = ending(scene.runtime, main);
    await scene.runtime.signalContainer(main, 'SIGTERM');
    assert.equal((await ended).exitCode, 0);
  });

  it('ends with the code that /exit asks for', async () => {
    const spec = container(scene.runtime, node, 'pod', 'exit', [], { ...image(), args: ['netexec', '--udp-port=-1'] });
    const ended = ending(scene.runtime, spec.id);
    await scene.runtime.startContainer(spec);
    await eventually('it listens', () => readLog(spec.logPath).length > 0);
    await curl('/exit?code=42&timeout=1s').catch(() => {});
    assert.equal((await ended).exitCode, 42);
  });

  it('of an unknown subcommand says so', async () => {
    const { status, lines } = await run(
      scene.runtime,
      container(scene.runtime, node, 'pod', 'what', [], { ...image(), args: ['what'] }),
    );
    assert.equal(status.exitCode, 1);
    assert.match(lines[0]!.text, /unknown command "what"/);
  });
});
