// Room api: request bodies in Kubernetes' protobuf (kubectl's typed commands send it) turned into what they would be in JSON.
import { timestamp } from '../objects/time.ts';
import { badRequest } from './errors.ts';

/** Field number to its name in JSON and its type: a scalar, a message, `[]` of one, or `{}`: a map from strings. */
type Message = Readonly<Record<string, readonly [name: string, type: string]>>;

const MAGIC = Buffer.from('k8s\0');

let messages: Readonly<Record<string, Message>> | undefined;

/** The table is large and seldom needed: it is read with the first such body. */
async function load(): Promise<Readonly<Record<string, Message>>> {
  const module = await import('./protobuf-fields.json', { with: { type: 'json' } });
  return module.default as unknown as Readonly<Record<string, Message>>;
}

/** `networking.k8s.io/v1` is the package networking.v1; core has no group. */
const packageOf = (apiVersion: string) => {
  const [version, group = 'core'] = apiVersion.split('/').reverse();
  return `${group.split('.')[0]}.${version}`;
};

/** Throws 400 for what is not `k8s\0` and a runtime.Unknown, or holds a kind that is not served. */
export async function decodeProtobuf(body: Buffer): Promise<unknown> {
  messages ??= await load();
  if (!body.subarray(0, 4).equals(MAGIC)) throw badRequest('the body does not begin as Kubernetes protobuf does');
  let [apiVersion, kind] = ['', ''];
  let raw: Buffer = NONE;
  for (const { number, bytes } of fieldsOf(body.subarray(4))) {
    if (number === 2) raw = bytes;
    if (number !== 1) continue;
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) apiVersion = field.bytes.toString();
      if (field.number === 2) kind = field.bytes.toString();
    }
  }
  const name = kind === 'DeleteOptions' ? 'meta.v1.DeleteOptions' : `${packageOf(apiVersion)}.${kind}`;
  if (!messages[name]) throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}"`);
  return { apiVersion, kind, ...(decodeMessage(name, raw) as object) };
}

interface Field {
  readonly number: number;
  readonly varint: bigint;
  readonly bytes: Buffer;
}

const NONE = Buffer.alloc(0);

/** Protobuf's wire format: varints (0), 8 bytes (1), length-delimited (2), 4 bytes (5). */
function* fieldsOf(message: Buffer): Iterable<Field> {
  let at = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    throw badRequest('the protobuf body ends in the middle of a number');
  };
  const take = (length: number): Buffer => {
    if (at + length > message.length) throw badRequest('the protobuf body ends in the middle of a field');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const wire = key & 7;
    const number = key >> 3;
    if (wire === 0) yield { number, varint: varint(), bytes: NONE };
    else if (wire === 2) yield { number, varint: 0n, bytes: take(Number(varint())) };
    else if (wire === 1 || wire === 5) yield { number, varint: 0n, bytes: take(wire === 1 ? 8 : 4) };
    else throw badRequest(`the protobuf body has a field of wire type ${wire}`);
  }
}

/**
 * Go writes every field that is not behind a pointer, be it zero; JSON would have left it out. So zeros are dropped,
 * but for these, which are behind pointers and so are only there when somebody set them.
 */
const ZERO_IS_SAID = new Set(
  `activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation automountServiceAccountToken
  blockOwnerDeletion controller enableServiceLinks expirationSeconds fsGroup gracePeriodSeconds hostUsers immutable
  maxSurge maxUnavailable optional orphanDependents port privileged progressDeadlineSeconds publishNotReadyAddresses
  readOnlyRootFilesystem ready replicas revisionHistoryLimit runAsGroup runAsNonRoot runAsUser serving
  setHostnameAsFQDN shareProcessNamespace terminating terminationGracePeriodSeconds timeoutSeconds tolerationSeconds
  weight`.split(/\s+/),
);

/** Go embeds these structs, so that in JSON their fields stand in the outer object. */
const EMBEDDED = new Set([
  'volumeSource',
  'handler',
  'localObjectReference',
  'ephemeralContainerCommon',
  'ingressRuleValue',
]);

function decodeMessage(name: string, bytes: Buffer): unknown {
  const special = SPECIAL[name];
  if (special) return special(bytes);
  const message = messages?.[name] ?? {};
  const object: Record<string, unknown> = {};
  for (const field of fieldsOf(bytes)) {
    const [key, type] = message[field.number] ?? [];
    if (key === undefined || type === undefined) continue; // newer than our table
    if (type.startsWith('{}')) {
      object[key] = { ...(object[key] as object), ...decodeMapEntry(type.slice(2), field.bytes) };
    } else if (type.startsWith('[]')) {
      object[key] = [...((object[key] as unknown[]) ?? []), decodeValue(type.slice(2), field)];
    } else if (EMBEDDED.has(key)) {
      Object.assign(object, decodeValue(type, field));
    } else {
      const value = decodeValue(type, field);
      const zero = value === '' || value === 0 || value === false || value === null;
      if (!zero || ZERO_IS_SAID.has(key)) object[key] = value;
    }
  }
  return object;
}

function decodeValue(type: string, { varint, bytes }: Field): unknown {
  switch (type) {
    case 'string':
      return bytes.toString('utf8');
    case 'bytes':
      return bytes.toString('base64');
    case 'bool':
      return varint !== 0n;
    case 'int':
      return Number(BigInt.asIntN(64, varint));
    case 'double':
      return bytes.readDoubleLE();
    default:
      return decodeMessage(type, bytes);
  }
}

function decodeMapEntry(type: string, entry: Buffer): Record<string, unknown> {
  let key = '';
  let value = decodeValue(type, { number: 2, varint: 0n, bytes: NONE });
  for (const field of fieldsOf(entry)) {
    if (field.number === 1) key = field.bytes.toString('utf8');
    if (field.number === 2) value = decodeValue(type, field);
  }
  return { [key]: value };
}

const numbersOf = (bytes: Buffer) => new Map([...fieldsOf(bytes)].map((field) => [field.number, field]));
const intOf = (field: Field | undefined) => Number(BigInt.asIntN(64, field?.varint ?? 0n));

/** Messages that are a plain value in JSON. */
const SPECIAL: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  'meta.v1.Time': (bytes) => timeOf(bytes, 0),
  'meta.v1.MicroTime': (bytes) => timeOf(bytes, 6),
  'meta.v1.FieldsV1': () => undefined,
  'resource.Quantity': (bytes) => numbersOf(bytes).get(1)?.bytes.toString() ?? '0',
  'intstr.IntOrString': (bytes) => {
    const fields = numbersOf(bytes);
    return intOf(fields.get(1)) === 0 ? intOf(fields.get(2)) : (fields.get(3)?.bytes.toString() ?? '');
  },
  'authentication.v1.ExtraValue': (bytes) => [...fieldsOf(bytes)].map((field) => field.bytes.toString()),
};

/** What RFC 3339 can write, in seconds since 1970. */
const FIRST_SECOND = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;

/** Nothing in it is Go's zero time, which JSON writes as null. */
function timeOf(bytes: Buffer, digits: 0 | 6): string | null {
  const fields = numbersOf(bytes);
  if (!fields.has(1)) return null;
  const seconds = intOf(fields.get(1));
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND)
    throw badRequest('the protobuf body has a time outside the years 1 to 9999');
  const text = timestamp(seconds * 1000);
  const micros = String(Math.trunc(intOf(fields.get(2)) / 1000)).padStart(6, '0');
  return digits === 0 ? text : text.replace('Z', `.${micros}Z`);
}
