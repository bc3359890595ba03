// Writes src/api/protobuf-fields.json: the field numbers of Kubernetes' protobuf messages, read from the descriptors that a
// kubectl binary carries in itself. Run it again when there is a newer kubectl: generate-protobuf-fields.ts /usr/bin/kubectl
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Packages by the group and version that they serve; `meta` and the rest are reached from these. */
const ROOTS: Record<string, readonly string[]> = {
  'k8s.io.api.core.v1': [
    'Namespace',
    'Node',
    'Pod',
    'Service',
    'Endpoints',
    'ConfigMap',
    'Secret',
    'ServiceAccount',
    'Event',
    'ReplicationController',
    'Binding',
  ],
  'k8s.io.api.apps.v1': ['Deployment', 'ReplicaSet'],
  'k8s.io.api.discovery.v1': ['EndpointSlice'],
  'k8s.io.api.networking.v1': ['NetworkPolicy', 'Ingress', 'IngressClass', 'ServiceCIDR', 'IPAddress'],
  'k8s.io.api.coordination.v1': ['Lease'],
  'k8s.io.api.policy.v1': ['Eviction'],
  'k8s.io.api.autoscaling.v1': ['Scale'],
  'k8s.io.api.authentication.v1': ['TokenRequest', 'SelfSubjectReview'],
  'k8s.io.api.authorization.v1': ['SelfSubjectAccessReview', 'SelfSubjectRulesReview'],
  'k8s.io.apimachinery.pkg.apis.meta.v1': ['DeleteOptions'],
};

interface Field {
  readonly number: number;
  readonly wire: number;
  readonly value: number;
  readonly bytes: Buffer;
}

/** The fields of one message: varints and length-delimited ones, which are all that descriptors have. */
function* fieldsOf(bytes: Buffer): Iterable<Field> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    const wire = key & 7;
    if (wire !== 0 && wire !== 2) throw new Error(`wire type ${wire} in a descriptor`);
    yield { number: key >> 3, wire, value, bytes: wire === 2 ? bytes.subarray(at, at + value) : bytes.subarray(0, 0) };
    if (wire === 2) at += value;
  }
}

const all = (message: Buffer, number: number) => [...fieldsOf(message)].filter((field) => field.number === number);
const text = (message: Buffer, number: number) => all(message, number)[0]?.bytes.toString() ?? '';
const value = (message: Buffer, number: number) => all(message, number)[0]?.value ?? 0;

const SCALARS: Record<number, string> = { 1: 'double', 3: 'int', 5: 'int', 8: 'bool', 9: 'string', 12: 'bytes' };

/** Message name to its DescriptorProto, nested ones (the entries of maps) included. */
function descriptorsIn(binary: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const add = (prefix: string, descriptor: Buffer) => {
    const name = `${prefix}.${text(descriptor, 1)}`;
    found.set(name, descriptor);
    for (const nested of all(descriptor, 3)) add(name, nested.bytes);
  };
  const magic = Buffer.from([0x1f, 0x8b, 0x08]);
  for (let at = binary.indexOf(magic); at >= 0; at = binary.indexOf(magic, at + 1)) {
    let file: Buffer;
    try {
      // What follows the member in the binary is not gzip: Node reports that after it has inflated all of it.
      file = gunzipSync(binary.subarray(at, at + 200_000), { finishFlush: 2 });
    } catch {
      continue;
    }
    if (file[0] !== 0x0a || !file.subarray(0, 120).includes('generated.proto')) continue;
    for (const message of all(file, 4)) add(text(file, 2), message.bytes);
  }
  return found;
}

const shortName = (name: string) => name.replace(/^\.?k8s\.io\.(api\.|apimachinery\.pkg\.(apis\.|api\.|util\.)?)/, '');

function typeOf(field: Buffer, descriptors: Map<string, Buffer>, reach: (name: string) => void): string {
  const scalar = SCALARS[value(field, 5)];
  const name = text(field, 6).slice(1);
  if (!scalar && !descriptors.has(name)) throw new Error(`no message ${name}`);
  const repeated = value(field, 4) === 3;
  const entry = scalar ? undefined : descriptors.get(name)!;
  const options = entry && all(entry, 7)[0]?.bytes;
  if (entry && options && value(options, 7) === 1) {
    const mapped = all(entry, 2).find((each) => value(each.bytes, 3) === 2)!;
    return `{}${typeOf(mapped.bytes, descriptors, reach)}`;
  }
  if (!scalar) reach(name);
  return `${repeated ? '[]' : ''}${scalar ?? shortName(name)}`;
}

/** Two names that the Go generator spelt otherwise than JSON has them. */
const JSON_NAMES: Record<string, string> = { uID: 'uid', aPIGroup: 'apiGroup' };

const [binaryPath] = process.argv.slice(2);
if (!binaryPath) throw new Error('name a kubectl binary');
const descriptors = descriptorsIn(readFileSync(binaryPath));
const queue = Object.entries(ROOTS).flatMap(([prefix, kinds]) => kinds.map((kind) => `${prefix}.${kind}`));
const messages: Record<string, Record<string, [string, string]>> = {};
for (const name of queue) {
  if (messages[shortName(name)]) continue;
  const descriptor = descriptors.get(name);
  if (!descriptor) throw new Error(`${binaryPath} has no descriptor of ${name}`);
  const fields = all(descriptor, 2).map(({ bytes }) => {
    const type = typeOf(bytes, descriptors, (reached) => queue.push(reached));
    return [String(value(bytes, 3)), [JSON_NAMES[text(bytes, 1)] ?? text(bytes, 1), type] as [string, string]] as const;
  });
  messages[shortName(name)] = Object.fromEntries(fields);
}
const lines = Object.entries(messages)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, fields]) => `  ${JSON.stringify(name)}: ${JSON.stringify(fields)}`);
writeFileSync(new URL('../src/api/protobuf-fields.json', import.meta.url), `{\n${lines.join(',\n')}\n}\n`);
