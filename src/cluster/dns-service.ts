// Room cluster: the Service `kube-dns`, under whose address every node itself answers, and the proof that each does.
import type { IP } from '../addr/ip.ts';
import type { Client } from '../client/client.ts';
import { exchange } from '../dns/upstream.ts';
import { isAlreadyExists } from '../objects/status.ts';
import { Fault } from '../observe/fault.ts';
import { netnsPath } from '../sys/netns.ts';
import { RCODE, rcodeName, TYPE } from '../wire/dns/message.ts';
import type { ClusterConfig } from './config.ts';
import { dnsServiceIPs, type NodeLayout } from './layout.ts';

const ANSWER_LIMIT_MS = 30_000;

/** Without a selector: there are no pods behind it, and no node translates its address. */
export async function ensureDnsService(client: Client, config: ClusterConfig): Promise<void> {
  const clusterIPs = dnsServiceIPs(config);
  try {
    await client.create('Service', {
      metadata: { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } },
      spec: {
        clusterIP: clusterIPs[0]!,
        clusterIPs,
        ...(clusterIPs.length > 1 && { ipFamilyPolicy: 'RequireDualStack' }),
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Asks the node's DNS server, from the node's own namespace, for the Service `kubernetes`. Throws a Fault when it does not know it. */
export async function untilDnsAnswers(config: ClusterConfig, node: NodeLayout): Promise<void> {
  await Promise.all(dnsServiceIPs(config).map((ip) => askNode(config, node, ip)));
}

async function askNode(config: ClusterConfig, node: NodeLayout, ip: IP): Promise<void> {
  const name = `kubernetes.default.svc.${config.domain}`;
  const question = { name, type: TYPE.A, recursionDesired: true, dnssecOk: false, checkingDisabled: false };
  const server = { ip, port: 53, netns: netnsPath(node.netns) };
  const answer = await exchange(server, question, { timeout: ANSWER_LIMIT_MS }).catch((cause: Error) => {
    throw new Fault(`DNS on ${node.name} (${ip}) did not answer ${name}: ${cause.message}`, { cause });
  });
  if (answer.rcode === RCODE.NOERROR) return;
  throw new Fault(`DNS on ${node.name} (${ip}) answers ${name} with ${rcodeName(answer.rcode)}`);
}
