// The real kernel obeys the contract, in namespaces of its own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { adding, kernelContract } from '../../src/kernel/contract.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
let count = 0;

kernelContract(
  'linux',
  () => {
    const [own, pod] = ['node', 'pod'].map((role) => netnsPath(`pwt-kernel-${process.pid}-${role}-${count++}`)) as [
      string,
      string,
    ];
    createNetns(own);
    createNetns(pod);
    const kernel = openKernel({ netns: own });
    return {
      kernel,
      pod,
      readPod: () => {
        const there = openKernel({ netns: pod });
        try {
          return there.read();
        } finally {
          there.close();
        }
      },
      [Symbol.dispose]: () => {
        kernel.close();
        removeNamespace(own);
        removeNamespace(pod);
      },
    };
  },
  skip,
);

test('sysctls are set in the namespace that they name, and an unknown key is ENOENT unless it may be lacking', {
  skip,
}, () => {
  const [own, pod] = ['node', 'pod'].map((role) => netnsPath(`pwt-kernel-${process.pid}-sysctl-${role}`)) as [
    string,
    string,
  ];
  createNetns(own);
  createNetns(pod);
  const kernel = openKernel({ netns: own });
  const key = 'net/ipv4/ip_forward';
  const value = (netns: string) => inNetns(netns, () => readFileSync(`/proc/sys/${key}`, 'utf8').trim());
  try {
    const before = readFileSync(`/proc/sys/${key}`, 'utf8');
    kernel.apply(adding({ kind: 'sysctl', key, value: '1' }, { kind: 'sysctl', netns: pod, key, value: '0' }));
    assert.deepEqual([value(own), value(pod)], ['1', '0']);
    kernel.apply(adding({ kind: 'sysctl', netns: pod, key, value: '1' }));
    assert.equal(value(pod), '1');
    assert.equal(readFileSync(`/proc/sys/${key}`, 'utf8'), before);
    const unknown = { kind: 'sysctl', key: 'net/ipv4/no_such_key', value: '1' } as const;
    assert.throws(() => kernel.apply(adding(unknown)), { name: 'KernelError', code: 'ENOENT' });
    kernel.apply(adding({ ...unknown, optional: true }));
  } finally {
    kernel.close();
    removeNamespace(own);
    removeNamespace(pod);
  }
});
