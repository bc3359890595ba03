// Room controllers: what every controller is given at its start, and what it gives back.
import type { Informers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import type { Recorder } from '../client/recorder.ts';

export interface ControllerOptions {
  /** Pod CIDRs of the cluster, one per family, from which Nodes without a podCIDR get theirs. */
  readonly podCIDRs?: readonly string[];
  /** Length of a node's prefix in each of podCIDRs. */
  readonly nodePrefixLengths?: readonly number[];
  /** A node is lost when its Lease was not renewed for so long. Default 40 s. */
  readonly nodeGraceMs?: number;
  /** CA certificate (PEM) that goes into the ConfigMap kube-root-ca.crt of every namespace. */
  readonly rootCA?: string;
  /** Addresses of the LBPool `default`, made when there is none of that name, and addresses that no Service may have. */
  readonly loadBalancer?: { readonly addresses: readonly string[]; readonly reserved: readonly string[] };
}

export interface ControllerContext {
  readonly client: Client;
  readonly informers: Informers;
  readonly options: ControllerOptions;
  /** One recorder for each component name. */
  recorder(component: string): Recorder;
}

export interface Controller {
  close(): void;
}

export type StartController = (context: ControllerContext) => Controller;
