// Tests of room runtime: from a container's spec to what the OCI runtime is told.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { capabilities } from './capabilities.ts';
import { type ConfigInput, containerArgs, ociConfig, ociProcess } from './oci-config.ts';
import type { ContainerSpec } from './runtime.ts';
import { StartFailure } from './start-failure.ts';

const image = {
  name: 'i',
  ref: 'host',
  entrypoint: ['entry'],
  cmd: ['cmd'],
  env: ['A=image', 'B=image'],
  workingDir: '/w',
  user: '',
};
const spec: ContainerSpec = {
  id: 'c',
  sandboxId: 's',
  name: 'c',
  attempt: 0,
  image,
  env: [],
  mounts: [],
  tty: false,
  stdin: false,
  logPath: '/log',
};
const root = { uid: 0, gid: 0, additionalGids: [] };

describe('command and args', () => {
  for (const [what, more, expected] of [
    ['neither: the image’s entrypoint and cmd', {}, ['entry', 'cmd']],
    ['args: in place of cmd', { args: ['a'] }, ['entry', 'a']],
    ['command: in place of both', { command: ['c'] }, ['c']],
    ['command and args: both in place', { command: ['c'], args: ['a'] }, ['c', 'a']],
    ['empty lists are as if absent', { command: [], args: [] }, ['entry', 'cmd']],
  ] as const) {
    it(what, () => assert.deepEqual(containerArgs({ ...spec, ...more }), expected));
  }
});

it('the environment has each name once: the spec’s before the image’s before ours', () => {
  const { env } = ociProcess({ ...spec, env: [{ name: 'A', value: 'spec=x' }], tty: true }, root, 'name', []);
  assert.deepEqual(
    env.filter((line) => !line.startsWith('PATH=')),
    ['HOSTNAME=name', 'TERM=xterm', 'A=spec=x', 'B=image'],
  );
});

it('a user other than root has no effective capability, but root’s bounding set', () => {
  const { capabilities: sets } = ociProcess(spec, { ...root, uid: 1 }, 'name', ['CAP_KILL']);
  assert.deepEqual(sets, { bounding: ['CAP_KILL'], effective: [], permitted: [] });
});

describe('capabilities', () => {
  const machine = ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN'];
  for (const [what, more, expected] of [
    ['by default those of containerd', {}, ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW']],
    ['added, with and without prefix', { addCapabilities: ['NET_ADMIN', 'CAP_SYS_ADMIN'] }, machine],
    ['dropped', { dropCapabilities: ['KILL'] }, ['CAP_CHOWN', 'CAP_NET_RAW']],
    ['all dropped but one', { dropCapabilities: ['ALL'], addCapabilities: ['KILL'] }, ['CAP_KILL']],
    [
      'all added but one',
      { addCapabilities: ['ALL'], dropCapabilities: ['KILL'] },
      machine.filter((name) => name !== 'CAP_KILL'),
    ],
    ['privileged: all that the machine has', { privileged: true }, machine],
    [
      'one that the machine lacks is not asked for',
      { addCapabilities: ['SYS_MODULE'] },
      ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW'],
    ],
  ] as const) {
    it(what, () => assert.deepEqual(capabilities({ ...spec, ...more }, machine), expected));
  }
});

describe('the configuration', () => {
  const input: ConfigInput = {
    spec,
    user: root,
    hostname: 'name',
    capabilities: [],
    rootfs: '/r',
    namespaces: { network: '/run/netns/n', uts: '/u', ipc: '/i' },
    shm: '/shm',
    extraMounts: [],
    hiddenPaths: ['/hidden'],
  };
  interface Linux {
    namespaces: { type: string; path?: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
  }
  const linux = (more: Partial<ConfigInput>) => ociConfig({ ...input, ...more })['linux'] as Linux;

  it('joins the pod’s namespaces and makes its own for processes and mounts', () => {
    assert.deepEqual(
      linux({}).namespaces.map(({ type, path }) => [type, path]),
      [
        ['pid', undefined],
        ['mount', undefined],
        ['uts', '/u'],
        ['ipc', '/i'],
        ['network', '/run/netns/n'],
      ],
    );
  });

  it('hides what must be hidden even from privileged containers, the rest of the kernel from the others', () => {
    assert.ok(linux({}).maskedPaths.includes('/proc/kcore'));
    assert.ok(linux({}).readonlyPaths.includes('/proc/sys'));
    assert.deepEqual(linux({ spec: { ...spec, privileged: true } }).maskedPaths, ['/hidden']);
    assert.deepEqual(linux({ spec: { ...spec, privileged: true } }).readonlyPaths, []);
  });

  it('mounts volumes after the system’s own, so that a volume may lie upon them', () => {
    const mounts = [{ source: '/src', target: '/dev/shm', readOnly: true }];
    const listed = ociConfig({ ...input, spec: { ...spec, mounts } })['mounts'] as { destination: string }[];
    assert.deepEqual(listed.at(-1), {
      destination: '/dev/shm',
      type: 'bind',
      source: '/src',
      options: ['rbind', 'rprivate', 'ro'],
    });
  });
});

for (const [said, message] of [
  [
    'executable file `foo` not found in $PATH: No such file or directory',
    'exec: "foo": executable file not found in $PATH',
  ],
  ['executable file `/foo` not found: No such file or directory', 'exec: "/foo": stat /foo: no such file or directory'],
  [
    'time="2026-01-01T00:00:00Z" level=error msg="exec failed: unable to start: exec: \\"foo\\": executable file not found in $PATH"',
    'exec: "foo": executable file not found in $PATH',
  ],
  ['time="2026-01-01T00:00:00Z" level=error msg="mount failed"', 'mount failed'],
  ['', 'the OCI runtime failed without a word'],
] as const) {
  it(`a runtime that says ${JSON.stringify(said)} is reported as ${JSON.stringify(message)}`, () => {
    assert.equal(new StartFailure(`${said}\n`).message, message);
  });
}
