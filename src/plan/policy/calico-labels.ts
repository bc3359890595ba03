// Room plan: the labels that Calico's selectors see and those of Kubernetes do not: a pod's namespace, and its service account's own labels.

type Labels = Readonly<Record<string, string>>;

const CALICO = 'projectcalico.org/';
const NAME = `${CALICO}name`;
/** No label can have it, so no selector of Kubernetes can ask for what stands under it. */
const HIDDEN = ' ';
const ACCOUNT = `${HIDDEN}account `;

/** Under which name what Calico adds to workloads is kept. */
export function workloadLabel(label: string): string {
  return label.startsWith(CALICO) ? `${HIDDEN}${label}` : label;
}

export function namespaceLabel(label: string): string {
  return label === NAME ? `${HIDDEN}${label}` : label;
}

export function serviceAccountLabel(label: string): string {
  return `${ACCOUNT}${label}`;
}

/** `account`: the labels of the pod's service account. */
export function workloadLabels(namespace: string, labels: Labels, accountName: string, account: Labels = {}): Labels {
  const own = Object.entries(account).map(([name, value]) => [serviceAccountLabel(name), value]);
  return {
    ...labels,
    [`${HIDDEN}${CALICO}namespace`]: namespace,
    [`${HIDDEN}${CALICO}orchestrator`]: 'k8s',
    [`${HIDDEN}${CALICO}serviceaccount`]: accountName,
    ...Object.fromEntries(own),
    [serviceAccountLabel(NAME)]: accountName,
  };
}

export function namespaceLabels(name: string, labels: Labels): Labels {
  return { ...labels, [`${HIDDEN}${NAME}`]: name };
}
