// Which pods a node does not take, and what it says of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from './admission.ts';
import { container, pod } from './pod-view.fixture.ts';

const publishing = (name: string, hostPort: number, more: object = {}) =>
  pod({ containers: [container('app', { ports: [{ containerPort: 80, hostPort, ...more }] })] }, { name });

test('a port of the node is one pod’s, and whoever is refused is told whose', () => {
  const first = publishing('first', 8080);
  assert.equal(refusalOf(publishing('second', 8080), []), undefined);
  assert.equal(refusalOf(pod(), [first]), undefined);
  assert.equal(refusalOf(publishing('second', 8081), [first, pod()]), undefined);
  assert.deepEqual(refusalOf(publishing('second', 8080), [pod(), first]), {
    reason: 'NodePorts',
    message:
      "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports: " +
      'TCP 8080 is held by pod shop/first',
  });
});

test('other protocols and other addresses of the node are other ports, and no address is all of them', () => {
  const here = publishing('here', 53, { hostIP: '172.30.0.11', protocol: 'UDP' });
  const refused = (more: object) => refusalOf(publishing('more', 53, more), [here]) !== undefined;
  assert.equal(refused({ protocol: 'TCP' }), false);
  assert.equal(refused({ protocol: 'UDP', hostIP: '172.30.0.12' }), false);
  assert.equal(refused({ protocol: 'UDP', hostIP: '172.30.0.11' }), true);
  assert.equal(refused({ protocol: 'UDP', hostIP: '0.0.0.0' }), true);
  assert.equal(refused({ protocol: 'UDP' }), true);
});

test('init containers hold a port only where they run on', () => {
  const { containers } = publishing('x', 8080).spec;
  const init = pod({ initContainers: [{ ...containers[0]!, name: 'init' }] }, { name: 'init' });
  const sidecar = pod({ initContainers: [{ ...containers[0]!, name: 'init', restartPolicy: 'Always' }] });
  assert.equal(refusalOf(publishing('second', 8080), [init]), undefined);
  assert.match(refusalOf(publishing('second', 8080), [sidecar])!.message, /held by pod shop\/web/);
});
