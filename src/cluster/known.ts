// Room cluster: whether there is a cluster of a name; where there is none, what to type instead.
import { existsSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';
import { clusterPaths, knownClusters } from './paths.ts';

/** The cluster that is meant when nobody says which. */
export const DEFAULT_CLUSTER = 'podwire';

/** It stands in the names of namespaces, interfaces and folders. */
export const CLUSTER_NAME = '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$';

/** Throws a Fault. */
export function requireClusterName(name: string): string {
  if (new RegExp(CLUSTER_NAME).test(name)) return name;
  throw new Fault(`"${name}" cannot be a cluster's name: lower-case letters, digits and '-', at most 32`, {
    exitCode: 2,
  });
}

/** What a command needs to mean this cluster, with a space before it. */
export function nameFlag(cluster: string): string {
  return cluster === DEFAULT_CLUSTER ? '' : ` --name ${cluster}`;
}

/** The name, of a cluster that is there. Throws a Fault that says which there are. */
export function knownCluster(name: string): string {
  if (existsSync(clusterPaths(name).config)) return name;
  throw noCluster(name);
}

/** `more`: what else would do. */
export function noCluster(name: string, more = ''): Fault {
  const others = knownClusters().filter((other) => other !== name);
  const are = others.length === 1 ? 'is' : 'are';
  const known = others.length === 0 ? '' : `there ${are} ${others.join(', ')} (--name ${others[0]}); `;
  const start = `podwire up${nameFlag(name)}`;
  return new Fault(`there is no cluster ${name}`, {
    mend: `${known}${known ? `${start} starts it` : `${start}, which starts it`}${more && `; ${more}`}`,
  });
}

/** What goes on without it: `its pods go on`. */
export function noDaemon(name: string, goesOn = 'its pods and their traffic go on'): Fault {
  return new Fault(`the daemon of cluster ${name} is not running; ${goesOn}`, { mend: takesUp(name) });
}

export function takesUp(name: string): string {
  return `podwire up${nameFlag(name)}, which takes up what runs; the log is ${clusterPaths(name).log}`;
}
