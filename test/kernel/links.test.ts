// The real kernel obeys the contract, in namespaces of its own.
import { kernelContract } from '../../src/kernel/contract.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';

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
