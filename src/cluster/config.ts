// Room cluster: what a cluster is made of; every field has a default, a flag, and a line in the config file.

export interface ClusterConfig {
  readonly name: string;
  readonly nodes: number;
  readonly domain: string;
  readonly network: {
    /** Addresses of nodes on the fabric, one CIDR per family. The first address is the machine's own leg. */
    readonly nodeCIDRs: readonly string[];
    readonly podCIDRs: readonly string[];
    /** Length of the pod prefix that each node gets, per family. */
    readonly nodePrefixLengths: readonly number[];
    readonly serviceCIDRs: readonly string[];
    readonly nodePortRange: readonly [number, number];
    readonly mtu: number;
    readonly vxlan: { readonly vni: number; readonly port: number };
  };
  readonly dns: { readonly upstreams: readonly string[] };
  readonly api: { readonly port: number };
}
