// Room api: the embedded Kubernetes API server.
import type { Transport } from '../client/transport.ts';
import type { ApiEndpoint } from './system-objects.ts';

export interface ApiServerOptions {
  /** Holds the database, the keys and the certificates; `:memory:` for a server that leaves nothing behind (tests). */
  readonly stateDir: string;
  readonly clusterName: string;
  readonly clusterDomain: string;
  readonly serviceCIDRs: readonly string[];
  readonly nodePortRange: readonly [number, number];
  /** Where TLS listens: on loopback, and on sockets that were bound elsewhere (the fabric's namespace) and are adopted by fd. */
  readonly listen: readonly ({ readonly host: string; readonly port: number } | { readonly fd: number })[];
  /** Names and addresses in the serving certificate, besides loopback and the `kubernetes` Service. */
  readonly certificateNames: readonly string[];
  /** Unix socket on which a node's agent serves logs and exec, for a node that is part of the box. */
  readonly kubeletSocket: (nodeName: string) => string | undefined;
  /** Where pods reach this server: the endpoints of the Service `kubernetes`. None when absent. */
  readonly kubernetesEndpoint?: ApiEndpoint;
  /** Pods are refused whose ServiceAccount is not there. Only where controllers make the accounts `default`. */
  readonly requireAccounts?: boolean;
  /** How much of the past a watch can resume from. */
  readonly history?: { readonly keepRevisions?: number; readonly keepSeconds?: number };
}

export interface ApiServer {
  /** In-process access with all rights: for controllers on this thread, and the far end of a worker's MessagePort. */
  readonly transport: Transport;
  /** Serves a worker thread's Transport over this port until the port closes. */
  servePort(port: import('node:worker_threads').MessagePort): void;
  /** The port that was bound on loopback. */
  readonly port: number;
  /** The cluster's CA certificate (PEM). */
  readonly authority: string;
  /** A kubeconfig (YAML text) with the admin's client certificate. */
  readonly kubeconfig: string;
  close(): Promise<void>;
}

export type StartApiServer = (options: ApiServerOptions) => Promise<ApiServer>;
