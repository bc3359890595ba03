// Room plan: pods that are one workload, and the fewest labels by which a policy can mean them and nobody else.
import type { Directory } from './ends.ts';
import type { PolicyEngine } from './engine.ts';
import type { PolicyPod } from './pod.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Workload {
  /** `shop/web`: of its Deployment, StatefulSet and so on, else of its first pod. */
  readonly name: string;
  readonly namespace: string;
  readonly pods: readonly PolicyPod[];
  /** Absent: its pods have no labels. */
  readonly selector: Labels | undefined;
}

/** Labels that controllers write, another with every change of the workload or every pod of it. */
const PASSING = [
  'pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'batch.kubernetes.io/job-completion-index',
  'controller-uid',
  'job-name',
];
/** Those by which people call their workloads, the most telling first. */
const TELLING = [
  'app.kubernetes.io/name',
  'app',
  'k8s-app',
  'app.kubernetes.io/instance',
  'app.kubernetes.io/component',
  'name',
];

/** Of pods with addresses of their own. Pods of one namespace with the same labels are one workload whoever made them: no policy can tell them apart. */
export function workloadsOf(engine: PolicyEngine, directory: Directory): Workload[] {
  const pods = [...engine.pods.values()].filter(({ hostNetwork, ips }) => !hostNetwork && ips.length > 0);
  const names = new Map(
    [...directory.workloads].flatMap(([key, keys]) => keys.map((pod) => [pod, nameOf(key)] as const)),
  );
  const alike = Map.groupBy(pods, (pod) => JSON.stringify([pod.namespace, Object.entries(lasting(pod.labels)).sort()]));
  const byNamespace = Map.groupBy(pods, ({ namespace }) => namespace);
  const workloads = [...alike.values()].map((members): Workload => {
    const sorted = members.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    const { key, namespace, labels } = sorted[0]!;
    const others = byNamespace.get(namespace)!.filter((pod) => !members.includes(pod));
    return { name: names.get(key) ?? key, namespace, pods: sorted, selector: selectorFor(lasting(labels), others) };
  });
  return workloads.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `deployment/shop/web` -> `shop/web` */
function nameOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function lasting(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !PASSING.includes(key)));
}

/** One label where one is enough, else more of them. */
function selectorFor(labels: Labels, others: readonly PolicyPod[]): Labels | undefined {
  const keys = Object.keys(labels).sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  const isAlone = (chosen: readonly string[]) =>
    !others.some((pod) => chosen.every((key) => pod.labels[key] === labels[key]));
  const one = keys.find((key) => isAlone([key]));
  const count = keys.findIndex((_, i) => isAlone(keys.slice(0, i + 1))) + 1;
  // Where others have all of these labels and more, they are meant too: policies are a union, it allows them more than they need.
  const chosen = one === undefined ? keys.slice(0, count || keys.length) : [one];
  return chosen.length > 0 ? Object.fromEntries(chosen.map((key) => [key, labels[key]!])) : undefined;
}

function place(key: string): number {
  const at = TELLING.indexOf(key);
  return at === -1 ? TELLING.length : at;
}
