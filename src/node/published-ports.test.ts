// Which of the ports that a pod asks for can be published.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { possiblePorts, publishedPorts } from './published-ports.ts';

const pod = (...hostIPs: (string | undefined)[]) => ({
  spec: {
    containers: [
      {
        name: 'c',
        image: 'c',
        ports: hostIPs.map((hostIP, i) => ({ containerPort: 80, hostPort: 8080 + i, ...(hostIP && { hostIP }) })),
      },
    ],
  },
});

test('a port is published on any address, the loopback of IPv4 too, however it is written', () => {
  const at = publishedPorts(pod(undefined, '127.0.0.1', 'FD00:0:0::1')).map(({ hostIP }) => hostIP);
  assert.deepEqual(at, [undefined, '127.0.0.1', 'fd00::1']);
});

test('on the loopback of IPv6 it cannot be, and the message says so; a pod that runs keeps the others', () => {
  for (const hostIP of ['::1', '0:0:0:0:0:0:0:1']) {
    const message = /^hostPort 8081 cannot be published on hostIP ::1: .* 127\.0\.0\.1 can be had$/;
    assert.throws(() => publishedPorts(pod(undefined, hostIP)), { name: 'Fault', message });
    assert.deepEqual(possiblePorts(pod(undefined, hostIP)), [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }]);
  }
});
