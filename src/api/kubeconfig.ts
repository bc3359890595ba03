// Room api: a kubeconfig that plain kubectl takes.
import type { KeyAndCertificate } from './authority.ts';

export interface KubeconfigParts {
  readonly clusterName: string;
  readonly server: string;
  /** PEM of the cluster's authority. */
  readonly authority: string;
  readonly client: KeyAndCertificate;
}

export function kubeconfigText({ clusterName, server, authority, client }: KubeconfigParts): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const name = JSON.stringify(clusterName);
  const user = JSON.stringify(`${clusterName}-admin`);
  return `apiVersion: v1
kind: Config
clusters:
- name: ${name}
  cluster:
    server: ${server}
    certificate-authority-data: ${base64(authority)}
users:
- name: ${user}
  user:
    client-certificate-data: ${base64(client.certificate)}
    client-key-data: ${base64(client.key)}
contexts:
- name: ${name}
  context:
    cluster: ${name}
    user: ${user}
current-context: ${name}
`;
}
