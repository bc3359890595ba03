// Room client: from a kubeconfig, or from a pod's own service account, to a Transport.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { Fault } from '../observe/fault.ts';
import { type HttpsTarget, HttpsTransport } from './https.ts';
import type { Transport } from './transport.ts';

interface ClusterEntry {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
}

interface UserEntry {
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly exec?: unknown;
  readonly 'auth-provider'?: unknown;
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly clusters?: readonly { readonly name: string; readonly cluster?: ClusterEntry }[];
  readonly users?: readonly { readonly name: string; readonly user?: UserEntry }[];
  readonly contexts?: readonly { readonly name: string; readonly context?: { cluster?: string; user?: string } }[];
}

/** The file is read at the first request, which fails with a Fault when it says nothing that can be used. */
export function openKubeconfig(path: string, context?: string): Transport {
  return new HttpsTransport(readKubeconfig(path, context));
}

export async function readKubeconfig(path: string, context?: string): Promise<HttpsTarget> {
  let config: Kubeconfig;
  try {
    config = (parse(readFileSync(path, 'utf8')) ?? {}) as Kubeconfig;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES') {
      throw new Fault(`the kubeconfig ${path} is not yours to read`, {
        mend: 'run it with sudo, or as the user who started the cluster with sudo',
        cause,
      });
    }
    throw new Fault(`the kubeconfig ${path} cannot be read: ${message}`, { cause });
  }
  const name = context ?? config['current-context'];
  const chosen = config.contexts?.find((each) => each.name === name)?.context;
  if (!chosen) throw new Fault(`the kubeconfig ${path} has no context "${name ?? ''}"`);
  const cluster = config.clusters?.find((each) => each.name === chosen.cluster)?.cluster;
  const user = config.users?.find((each) => each.name === chosen.user)?.user ?? {};
  if (!cluster?.server) throw new Fault(`the kubeconfig ${path} names no server for its context "${name}"`);
  if (user.exec || user['auth-provider']) return viaKubeConfig(path, name!, cluster.server);
  return targetOf(cluster, cluster.server, user, dirname(path));
}

function targetOf(cluster: ClusterEntry, server: string, user: UserEntry, directory: string): HttpsTarget {
  const pem = (data: string | undefined, file: string | undefined) =>
    data ? Buffer.from(data, 'base64') : file ? readFileSync(resolve(directory, file)) : undefined;
  const tls = {
    ca: pem(cluster['certificate-authority-data'], cluster['certificate-authority']),
    cert: pem(user['client-certificate-data'], user['client-certificate']),
    key: pem(user['client-key-data'], user['client-key']),
    servername: cluster['tls-server-name'],
    rejectUnauthorized: cluster['insecure-skip-tls-verify'] ? false : undefined,
  };
  const { token, tokenFile } = user;
  const read = tokenFile ? () => readFileSync(resolve(directory, tokenFile), 'utf8').trim() : () => token;
  const authorization = () => {
    const bearer = read();
    return bearer && `Bearer ${bearer}`;
  };
  return {
    server,
    tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
    authorization,
  };
}

/** Credential plugins are that library's to run; it takes a second to load, so only who has one waits for it. */
async function viaKubeConfig(path: string, context: string, server: string): Promise<HttpsTarget> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(path);
  config.setCurrentContext(context);
  const options: { headers?: Record<string, string> } & HttpsTarget['tls'] = {};
  await config.applyToHTTPSOptions(options);
  const { headers, ca, cert, key, servername, rejectUnauthorized } = options;
  const tls = { ca, cert, key, servername, rejectUnauthorized };
  return {
    server,
    tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
    authorization: () => headers?.['Authorization'],
  };
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** For a part that runs in a pod. */
export function inClusterTransport(env: NodeJS.ProcessEnv = process.env): Transport {
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (!host) throw new Fault('this is no pod: KUBERNETES_SERVICE_HOST is not set', { mend: 'give --kubeconfig FILE' });
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? 443}`;
  return new HttpsTransport({
    server,
    tls: { ca: readFileSync(`${SERVICE_ACCOUNT}/ca.crt`) },
    authorization: () => `Bearer ${readFileSync(`${SERVICE_ACCOUNT}/token`, 'utf8').trim()}`,
  });
}
