// What is said of the datapath that is in force, for each that may be asked for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultConfig } from './config.ts';
import { datapathText, settleDatapath, settleSwitch } from './datapath.ts';

const { network } = defaultConfig('c', 0);
const wanting = (datapath: 'auto' | 'ebpf' | 'nftables') => ({ network: { ...network, datapath } });

test('nobody asks the kernel when nftables is asked for', () => {
  assert.deepEqual(settleDatapath(wanting('nftables')), { kind: 'nftables' });
  assert.match(datapathText(wanting('nftables')), /^nftables: all packets/);
  assert.equal(settleSwitch(wanting('nftables')), false);
});

test('with auto the kernel decides, and what it lacks is said', () => {
  const config = wanting('auto');
  const settled = settleDatapath(config);
  assert.deepEqual(settleDatapath(wanting('ebpf')), settled);
  if (settled.kind === 'ebpf') {
    assert.match(datapathText(config), /^ebpf: /);
    assert.equal(settleSwitch(config), true);
    return;
  }
  assert.ok(settled.missing);
  assert.match(datapathText(config), /^nftables(, and eBPF between the nodes)?: no eBPF fast path here: /);
  assert.ok(datapathText(config).endsWith(settled.missing));
  assert.match(datapathText(wanting('ebpf')), /^nftables(, and eBPF between the nodes)?; ebpf was asked for: /);
});
