// A machine of the test's own for the plugin: a namespace that plays the node, one outside of it, and containers.
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildSync } from 'esbuild';
import { INSTALL_DIR, installed, PROGRAMS } from '../../src/observe/install.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { orUndo } from '../set-up.ts';

/** Where Debian puts the reference plugins. */
export const REFERENCE = '/usr/lib/cni';
export const NODE_IP = '192.0.2.1';
export const OUTSIDE_IP = '192.0.2.2';

export const rootSkip = process.getuid?.() === 0 ? false : 'needs root';

/** An installation as users have one, bundled from the source as it is now: `bin/podwire-cni` in it is the plugin. */
export function installPlugin(): { readonly plugin: string; readonly remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), 'pwt-cni-install-'));
  mkdirSync(join(root, 'bin'));
  const plugin = join(root, 'bin', 'podwire-cni');
  copyFileSync(installed('bin', 'podwire-cni'), plugin);
  // Under this name it is the IPAM plugin alone.
  symlinkSync('podwire-cni', join(root, 'bin', 'podwire'));
  symlinkSync(join(INSTALL_DIR, 'node_modules'), join(root, 'node_modules'));
  buildSync({
    entryPoints: [installed('src', PROGRAMS.cni)],
    outfile: join(root, 'generated', 'bundle', 'cni.js'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  return { plugin, remove: () => rmSync(root, { recursive: true }) };
}

let installation: ReturnType<typeof installPlugin> | undefined;

/** One for all tests of a process. */
export function plugin(): string {
  if (!installation) {
    installation = installPlugin();
    process.on('exit', () => installation?.remove());
  }
  return installation.plugin;
}

export interface Answer {
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: the plugin's JSON, looked into by tests
  readonly json: any;
}

export interface Call {
  readonly container?: string;
  readonly ifname?: string;
  readonly netns?: string | undefined;
  readonly args?: string;
  /** Milliseconds after which it is killed. */
  readonly killAfter?: number;
  /** Instead of podwire-cni. */
  readonly program?: string;
}

let count = 0;

export class World implements Disposable {
  readonly node: string;
  readonly outside: string;
  /** For conflists and state. */
  readonly dir = mkdtempSync(join(tmpdir(), 'pwt-cni-'));
  readonly #made: string[] = [];

  constructor() {
    this.node = this.#netns('node');
    this.outside = this.#netns('outside');
    const [node, outside] = [this.node, this.outside].map((path) => path.split('/').at(-1)!);
    const undo = () => this[Symbol.dispose]();
    orUndo(undo, () => {
      for (const words of [
        `-n ${node} link set lo up`,
        `-n ${outside} link set lo up`,
        `-n ${node} link add up0 type veth peer name eth0 netns ${outside}`,
        `-n ${node} addr add ${NODE_IP}/24 dev up0`,
        `-n ${node} addr add 2001:db8::1/64 dev up0 nodad`,
        `-n ${node} link set up0 up`,
        `-n ${outside} addr add ${OUTSIDE_IP}/24 dev eth0`,
        `-n ${outside} addr add 2001:db8::2/64 dev eth0 nodad`,
        `-n ${outside} link set eth0 up`,
      ]) {
        execFileSync('ip', words.split(' '));
      }
    });
  }

  #netns(role: string): string {
    const path = netnsPath(`pwt-cni-${process.pid}-${count++}-${role}`);
    createNetns(path);
    this.#made.push(path);
    return path;
  }

  container(): string {
    return this.#netns('c');
  }

  config(more: object = {}): Record<string, unknown> {
    return {
      cniVersion: '1.1.0',
      name: 'net1',
      type: 'podwire-cni',
      dataDir: join(this.dir, 'data'),
      ipMasq: true,
      ipam: { type: 'podwire', ranges: [[{ subnet: '10.22.0.0/16' }]], restSeconds: 30 },
      ...more,
    };
  }

  /** One verb, in the node's namespace. */
  call(
    command: string,
    config: object,
    { container = 'c1', ifname = 'eth0', netns, args, killAfter, program = plugin() }: Call = {},
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const child = spawn('nsenter', [`--net=${this.node}`, program], {
      env: {
        ...process.env,
        CNI_COMMAND: command,
        CNI_CONTAINERID: container,
        CNI_IFNAME: ifname,
        CNI_PATH: `${dirname(plugin())}:${REFERENCE}`,
        ...(netns !== undefined && { CNI_NETNS: netns }),
        ...(args !== undefined && { CNI_ARGS: args }),
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter);
    let stdout = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      try {
        resolve({ code: code ?? -1, json: stdout === '' ? undefined : JSON.parse(stdout) });
      } catch {
        reject(new Error(`${command} printed ${stdout}`));
      }
    });
    child.stdin.end(JSON.stringify(config));
    return promise;
  }

  /** Like call(), but throws the plugin's own words when it refuses. */
  async must(command: string, config: object, call: Call = {}) {
    const { code, json } = await this.call(command, config, call);
    if (code !== 0) throw new Error(`${command}: ${JSON.stringify(json)}`);
    return json;
  }

  in(netns: string, ...words: string[]): string {
    return execFileSync('nsenter', [`--net=${netns}`, ...words], { encoding: 'utf8' });
  }

  json(netns: string, ...words: string[]) {
    return JSON.parse(this.in(netns, ...words));
  }

  /** What is left of all containers on the node: interfaces, routes of ours, nftables. */
  remains(): string[] {
    const links = this.json(this.node, 'ip', '-j', 'link').map((each: { ifname: string }) => each.ifname);
    const routes = ['-4', '-6'].flatMap((family) =>
      this.json(this.node, 'ip', '-j', family, 'route', 'show', 'proto', '201'),
    );
    const rules = this.in(this.node, 'nft', 'list', 'tables').trim();
    return [
      ...links.filter((name: string) => !['lo', 'up0'].includes(name)),
      ...routes.map((each: { dst: string }) => each.dst),
      ...(rules ? [rules] : []),
    ];
  }

  [Symbol.dispose](): void {
    for (const path of this.#made) removeNamespace(path);
    rmSync(this.dir, { recursive: true });
  }
}
