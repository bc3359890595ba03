// Room cluster: the schema of a cluster's config file, and errors that name the field at fault.
import { Ajv, type ErrorObject } from 'ajv';
import { parse, YAMLParseError } from 'yaml';
import { isIP } from '../addr/ip.ts';
import { isPrefix } from '../addr/prefix.ts';
import { parseRange } from '../addr/range.ts';
import { Fault } from '../observe/fault.ts';
import type { PartialConfig } from './config.ts';
import { CLUSTER_NAME } from './known.ts';
import { readUserFile, yamlProblem } from './user-file.ts';

const cidrs = { type: 'array', minItems: 1, maxItems: 2, items: { type: 'string', format: 'cidr' } };
const resolvers = { type: 'array', items: { type: 'string', format: 'resolver' } };
const seconds = { type: 'integer', minimum: 0, maximum: 604800 };
const port = { type: 'integer', minimum: 1, maximum: 65535 };

function fields(properties: Record<string, object>): object {
  return { type: 'object', additionalProperties: false, properties };
}

/** Any names of DNS, each with such a value. */
function byName(value: object): object {
  return { type: 'object', propertyNames: { format: 'name' }, additionalProperties: value };
}

export const CONFIG_SCHEMA = fields({
  name: { type: 'string', pattern: CLUSTER_NAME },
  nodes: { type: 'integer', minimum: 1, maximum: 200 },
  domain: { type: 'string', format: 'domain' },
  network: fields({
    nodeCIDRs: cidrs,
    podCIDRs: cidrs,
    nodePrefixLengths: {
      type: 'array',
      minItems: 1,
      maxItems: 2,
      items: { type: 'integer', minimum: 8, maximum: 126 },
    },
    serviceCIDRs: cidrs,
    nonMasqueradeCIDRs: { ...cidrs, minItems: 0, maxItems: 64 },
    addressRestSeconds: { type: 'integer', minimum: 0, maximum: 86_400 },
    nodePortRange: { type: 'array', minItems: 2, maxItems: 2, items: port },
    nodePortAddresses: { type: 'array', items: { type: 'string', format: 'nodePorts' } },
    externalCIDRs: { ...cidrs, minItems: 0, maxItems: 64 },
    serviceCounters: { type: 'boolean' },
    mtu: { type: 'integer', minimum: 1280, maximum: 65535 },
    datapath: { type: 'string', enum: ['auto', 'nftables', 'ebpf'] },
    proxyMode: { type: 'string', enum: ['nftables', 'ebpf'] },
    overlay: fields({
      backend: { type: 'string', enum: ['vxlan', 'host-gw', 'ipip', 'udp', 'none'] },
      directRouting: { type: 'boolean' },
    }),
    racks: { type: 'integer', minimum: 1, maximum: 16 },
    vxlan: fields({ vni: { type: 'integer', minimum: 1, maximum: 16777215 }, port }),
  }),
  dns: fields({
    upstreams: resolvers,
    stubDomains: byName({ ...resolvers, minItems: 1 }),
    hosts: byName({ type: 'array', minItems: 1, items: { type: 'string', format: 'ip' } }),
    rewrites: {
      type: 'object',
      propertyNames: { format: 'rewritten' },
      patternProperties: {
        '^[*]': { type: 'string', format: 'rewritten' },
        '^[^*]': { type: 'string', format: 'name' },
      },
    },
    ttl: { type: 'integer', minimum: 0, maximum: 3600 },
    podNames: { type: 'boolean' },
    autopath: { type: 'boolean' },
    queryLog: { type: 'boolean' },
    metricsPort: { type: 'integer', minimum: 0, maximum: 65535 },
    readyPort: { type: 'integer', minimum: 0, maximum: 65535 },
    cache: fields({
      size: { type: 'integer', minimum: 0, maximum: 10_000_000 },
      maxTTL: seconds,
      maxNegativeTTL: seconds,
      prefetch: { type: 'boolean' },
      staleFor: seconds,
    }),
  }),
  loadBalancer: fields({ addresses: { type: 'array', items: { type: 'string', format: 'range' } } }),
  policies: fields({ cutFlows: { type: 'boolean' } }),
  api: fields({ port }),
});

/** Throws a Fault that names the file, the field and what it should be. */
export function readConfigFile(file: string): PartialConfig {
  const text = readUserFile(file);
  try {
    return checkConfig(parse(text) ?? {}, file);
  } catch (cause) {
    if (cause instanceof YAMLParseError) throw new Fault(`config file ${file}: ${yamlProblem(cause)}`, { cause });
    throw cause;
  }
}

export function checkConfig(value: unknown, where: string): PartialConfig {
  const ajv = new Ajv({
    allErrors: true,
    formats: {
      cidr: isPrefix,
      domain: DOMAIN,
      ip: isIP,
      name: NAME,
      nodePorts: (text: string) => text === 'primary' || isPrefix(text),
      range: isRange,
      resolver: isResolver,
      rewritten: (text: string) => NAME.test(text.replace(/^\*\./, '')),
    },
  });
  const validate = ajv.compile<PartialConfig>(CONFIG_SCHEMA);
  if (validate(value)) return value;
  const problems = (validate.errors ?? []).map((error) => explain(error));
  throw new Fault(`${where}: ${problems.join('; ')}`);
}

function isRange(text: string): boolean {
  try {
    parseRange(text);
    return true;
  } catch {
    return false;
  }
}

const DOMAIN = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Upper case and underscores too, as DNS has them. */
const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/** `address` or `address#port`, as DNS servers' own configs have it. */
function isResolver(text: string): boolean {
  const [address, port, ...more] = text.split('#');
  return isIP(address!) && more.length === 0 && (port === undefined || (/^\d{1,5}$/.test(port) && Number(port) > 0));
}

const EXAMPLES: Readonly<Record<string, string>> = {
  cidr: 'a CIDR such as 10.244.0.0/16',
  domain: 'a domain of lower-case labels such as cluster.local',
  ip: 'an IP address such as 192.0.2.7',
  name: 'a name such as db.example.com',
  nodePorts: 'a CIDR such as 172.30.0.0/24, or primary alone',
  rewritten: 'a name such as db.example.com, or *.example.com for all below it',
  range: 'a CIDR, an address or a range such as 172.30.0.200-172.30.0.250',
  resolver: 'an address, or address#port such as 192.0.2.53#5353',
};

function explain(error: ErrorObject): string {
  const path = error.instancePath.slice(1).replaceAll('/', '.');
  if (error.keyword !== 'additionalProperties') return `${path || 'the file'} ${wording(error)}`;
  const unknown = String(error.params['additionalProperty']);
  const known = fieldsAt(error.instancePath);
  const distance = (name: string) => editDistance(name.toLowerCase(), unknown.toLowerCase());
  const near = known.filter((name) => distance(name) <= 2).sort((a, b) => distance(a) - distance(b))[0];
  const hint = near ? `did you mean ${near}?` : `fields here are ${known.join(', ')}`;
  return `there is no field ${path ? `${path}.` : ''}${unknown}; ${hint}`;
}

const TYPES: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  string: 'text',
  array: 'a list, as in [one, two]',
  boolean: 'true or false',
};

/** Where ajv speaks of the schema, and not of what to write. */
function wording({ keyword, params, instancePath, message = 'is wrong' }: ErrorObject): string {
  const { limit } = params as { limit?: number };
  switch (keyword) {
    case 'format':
      return `must be ${EXAMPLES[String(params['format'])]}`;
    case 'type':
      return params['type'] === 'object'
        ? `must hold fields: ${fieldsAt(instancePath).join(', ') || 'name: value'}`
        : `must be ${TYPES[String(params['type'])] ?? params['type']}`;
    case 'enum':
      return `must be one of ${(params as { allowedValues: string[] }).allowedValues.join(', ')}`;
    case 'pattern':
      return "must be lower-case letters, digits and '-', at most 32";
    case 'minimum':
      return `must be ${limit} or more`;
    case 'maximum':
      return `must be ${limit} or less`;
    case 'minItems':
    case 'maxItems':
      return `must have ${keyword === 'minItems' ? 'at least' : 'at most'} ${limit} ${limit === 1 ? 'entry' : 'entries'}`;
    default:
      return message;
  }
}

function fieldsAt(instancePath: string): string[] {
  return Object.keys((schemaAt(instancePath) as { properties?: object } | undefined)?.properties ?? {});
}

function schemaAt(instancePath: string): unknown {
  let schema: unknown = CONFIG_SCHEMA;
  for (const part of instancePath.split('/').slice(1)) {
    schema = (schema as { properties?: Record<string, unknown> } | undefined)?.properties?.[part];
  }
  return schema;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
