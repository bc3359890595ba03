// Room objects: the fields by which each kind may be selected besides metadata.name and metadata.namespace.
import type { DraftObject, Event, Pod } from './types.ts';

/** `true` where the selector's name is the path of the field itself. */
export type SelectableField = true | ((object: DraftObject) => string);

const REFERENCE = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];

function paths(...names: string[]): Record<string, SelectableField> {
  return Object.fromEntries(names.map((name) => [name, true]));
}

export const FIELD_SELECTORS: Readonly<Record<string, Readonly<Record<string, SelectableField>>>> = {
  Pod: {
    ...paths(
      'spec.nodeName',
      'spec.restartPolicy',
      'spec.schedulerName',
      'spec.serviceAccountName',
      'status.phase',
      'status.nominatedNodeName',
    ),
    'spec.hostNetwork': (pod) => String((pod as unknown as Pod).spec.hostNetwork ?? false),
    'status.podIP': (pod) =>
      (pod as unknown as Pod).status?.podIPs?.[0]?.ip ?? (pod as unknown as Pod).status?.podIP ?? '',
    'status.podIPs': (pod) => (pod as unknown as Pod).status?.podIPs?.[0]?.ip ?? '',
  },
  Event: {
    ...paths('reason', 'type', 'reportingComponent', ...REFERENCE.map((name) => `involvedObject.${name}`)),
    source: (event) => {
      const { source, reportingComponent } = event as unknown as Event;
      return source?.component ?? reportingComponent ?? '';
    },
  },
  Namespace: paths('status.phase'),
  Node: {
    'spec.unschedulable': (node) => String((node['spec'] as { unschedulable?: boolean })?.unschedulable ?? false),
  },
  Secret: paths('type'),
  Service: paths('spec.clusterIP', 'spec.type'),
  ReplicationController: paths('status.replicas'),
  ReplicaSet: paths('status.replicas'),
};
