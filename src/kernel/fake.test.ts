// The fake kernel obeys the contract.
import { kernelContract } from './contract.ts';
import { FakeKernel } from './fake.ts';
import { isOurLink } from './identity.ts';

kernelContract('fake', () => {
  const pod = '/run/netns/pwt-pod';
  const kernel = new FakeKernel({ namespaces: [pod] });
  const ours = (item: object) => !('name' in item) || isOurLink(String(item.name));
  return { kernel, pod, readPod: () => kernel.at(pod).filter(ours), [Symbol.dispose]: () => kernel.close() };
});
