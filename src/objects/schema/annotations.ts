// Room objects: what the models of @kubernetes/client-node do not tell about fields: how lists and maps merge, formats, defaults.
// Keyed by `Model.field`. Facts of Kubernetes 1.36; checked against its own OpenAPI documents by annotations.test.ts.

export interface ListRule {
  /** `map`: elements are told apart by `keys`; `set`: by value; `atomic`: replaced whole. */
  readonly type: 'map' | 'set' | 'atomic';
  readonly keys: readonly string[];
  /** Strategic merge patch merges the list (by keys[0], or by value when there are no keys); else it replaces it. */
  readonly merge: boolean;
  /** The patch names with $retainKeys which fields of an element stay. */
  readonly retainKeys: boolean;
}

const rules = new Map<string, ListRule>();

function lists(keys: string, fields: string, rest: Partial<ListRule> = {}): void {
  for (const field of fields.trim().split(/\s+/)) {
    const type = keys === '' ? 'set' : 'map';
    rules.set(field, { type, keys: keys === '' ? [] : keys.split(','), merge: true, retainKeys: false, ...rest });
  }
}

lists('uid', 'V1ObjectMeta.ownerReferences');
lists('', 'V1ObjectMeta.finalizers V1NodeSpec.podCIDRs');
lists('', 'V1ContainerRestartRuleOnExitCodes.values V1NodeAllocatableResourceClaimStatus.containers', { merge: false });
lists('', 'V1Endpoint.addresses', { merge: false });
lists('', 'V1alpha1LBPoolSpec.addresses V1alpha1LBPoolSpec.namespaces', { merge: false });
lists('', 'V1alpha2EgressPeer.networks V1alpha2EgressPeer.domainNames V3EntityRule.nets V3EntityRule.notNets', {
  merge: false,
});
lists(
  'type',
  `V1alpha2ClusterNetworkPolicyStatus.conditions V1NamespaceStatus.conditions V1NodeStatus.addresses V1NodeStatus.conditions V1PodStatus.conditions
  V1ServiceStatus.conditions V1ReplicationControllerStatus.conditions V1DeploymentStatus.conditions
  V1ReplicaSetStatus.conditions`,
);
lists(
  'name',
  `V1PodSpec.containers V1PodSpec.initContainers V1PodSpec.ephemeralContainers V1PodSpec.imagePullSecrets
  V1PodSpec.schedulingGates V1Container.env V1EphemeralContainer.env V1ContainerStatus.allocatedResourcesStatus
  V1ServiceAccount.secrets`,
);
lists('name', 'V1PodSpec.volumes V1PodSpec.resourceClaims V1PodStatus.resourceClaimStatuses', { retainKeys: true });
lists('name', 'V1ResourceRequirements.claims', { merge: false });
lists('resourceID', 'V1ResourceStatus.resources', { merge: false });
lists('ip', 'V1PodSpec.hostAliases V1PodStatus.podIPs');
lists('ip', 'V1PodStatus.hostIPs', { type: 'atomic' });
lists('topologyKey,whenUnsatisfiable', 'V1PodSpec.topologySpreadConstraints');
lists('containerPort,protocol', 'V1Container.ports V1EphemeralContainer.ports');
lists('devicePath', 'V1Container.volumeDevices V1EphemeralContainer.volumeDevices');
lists('mountPath', 'V1Container.volumeMounts V1EphemeralContainer.volumeMounts V1ContainerStatus.volumeMounts');
lists('port,protocol', 'V1ServiceSpec.ports');

/** How each list that is not simply replaced merges. */
export const LIST_RULES: ReadonlyMap<string, ListRule> = rules;

/** Objects that a patch replaces but for the fields that $retainKeys names. */
export const RETAIN_KEYS: ReadonlySet<string> = new Set(['V1DeploymentSpec.strategy']);

/** Maps and objects that server-side apply owns whole. */
export const ATOMIC_FIELDS: ReadonlySet<string> = new Set([
  'V1PodSpec.nodeSelector',
  'V1ServiceSpec.selector',
  'V1ReplicationControllerSpec.selector',
]);
export const ATOMIC_MODELS: ReadonlySet<string> = new Set(
  `V1OwnerReference V1NodeSelectorTerm V1NodeSelector V1LabelSelector V1ConfigMapKeySelector V1ObjectFieldSelector
  V1FileKeySelector V1ResourceFieldSelector V1SecretKeySelector V1LocalObjectReference V1TypedLocalObjectReference
  V1EndpointAddress V1ObjectReference CoreV1EndpointPort DiscoveryV1EndpointPort V1ServiceBackendPort`.split(/\s+/),
);

/** Strings (or maps of strings) which are quantities. */
export const QUANTITIES: ReadonlySet<string> = new Set(
  `V1NodeStatus.allocatable V1NodeStatus.capacity V1PodSpec.overhead V1ResourceFieldSelector.divisor
  V1ResourceRequirements.limits V1ResourceRequirements.requests V1EmptyDirVolumeSource.sizeLimit
  V1VolumeResourceRequirements.limits V1VolumeResourceRequirements.requests V1PodStatus.allocatedResources
  V1ContainerStatus.allocatedResources V1NodeAllocatableResourceClaimStatus.resources`.split(/\s+/),
);

/** Defaults that the OpenAPI documents must state, because they are part of a list's key or differ from zero. */
export const DEFAULTS: ReadonlyMap<string, string | number> = new Map<string, string | number>([
  ['V1ContainerPort.protocol', 'TCP'],
  ['V1ServicePort.protocol', 'TCP'],
  ['V1ReplicationControllerSpec.replicas', 1],
  ['V1AzureDiskVolumeSource.cachingMode', 'ReadWrite'],
  ['V1AzureDiskVolumeSource.fsType', 'ext4'],
  ['V1AzureDiskVolumeSource.kind', 'Shared'],
  ['V1ISCSIVolumeSource.iscsiInterface', 'default'],
  ['V1RBDVolumeSource.keyring', '/etc/ceph/keyring'],
  ['V1RBDVolumeSource.pool', 'rbd'],
  ['V1RBDVolumeSource.user', 'admin'],
  ['V1ScaleIOVolumeSource.fsType', 'xfs'],
  ['V1ScaleIOVolumeSource.storageMode', 'ThinProvisioned'],
]);

const META = new Set(
  `V1ObjectMeta V1ListMeta V1OwnerReference V1ManagedFieldsEntry V1LabelSelector V1LabelSelectorRequirement V1Condition
  V1Status V1StatusCause V1StatusDetails V1DeleteOptions V1Preconditions V1ShardInfo`.split(/\s+/),
);

/** `meta.v1` for the models that all groups share; undefined for those that belong to the group that reaches them first. */
export function sharedPackage(model: string): string | undefined {
  return META.has(model) ? 'meta.v1' : undefined;
}
