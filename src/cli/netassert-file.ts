// Room cli: test files of netassert (github.com/controlplaneio/netassert), versions 1 and 2, as expectations.
import { Fault } from '../observe/fault.ts';
import type { Expectation, ExpectedPort } from '../plan/policy/expectations.ts';

/** Version 2: a list of tests, exit code 0 for what must pass. Version 1: `k8s: {deployment: {ns:name: {host: ports}}}`. Undefined: none of both. */
export function netassertExpectations(file: string, document: unknown): Expectation[] | undefined {
  if (Array.isArray(document) && document.every((each) => isObject(each) && 'src' in each)) {
    return document.map((test, i) => ofTest(`${file}: [${i}]`, test as Test));
  }
  if (!isObject(document) || !['k8s', 'kubernetes', 'host', 'instance'].some((key) => key in document))
    return undefined;
  const machines = document['host'] ?? document['instance'];
  if (machines !== undefined && Object.keys(machines as object).length > 0) {
    const mend = 'take the part "host" out: there are no machines here to log in to, only pods';
    throw new Fault(`${file} has tests of hosts over SSH`, { mend, exitCode: 2 });
  }
  return ofVersion1(file, document['k8s'] ?? document['kubernetes']);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Resource {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

interface Test {
  readonly name?: string;
  readonly type?: string;
  readonly protocol?: string;
  readonly targetPort?: number;
  readonly attempts?: number;
  readonly exitCode?: number;
  readonly src?: { readonly k8sResource?: Resource };
  readonly dst?: { readonly k8sResource?: Resource; readonly host?: { readonly name?: string } };
}

const KINDS = ['deployment', 'statefulset', 'daemonset', 'pod'];

function ofTest(where: string, test: Test): Expectation {
  const wrong = (what: string): never => {
    throw new Fault(`${where}${what}`, { exitCode: 2 });
  };
  const resource = (field: string, given?: Resource): string => {
    const { kind, name, namespace } = given ?? {};
    if (kind === undefined || !KINDS.includes(kind))
      return wrong(`.${field}.kind is "${kind}", not ${KINDS.join(', ')}`);
    if (!name || !namespace) return wrong(`.${field} needs a name and a namespace`);
    return kind === 'pod' ? `${namespace}/${name}` : `${kind}/${namespace}/${name}`;
  };
  const { name, type = 'k8s', protocol = 'tcp', targetPort, attempts = 3, exitCode = 0, src, dst } = test;
  if (type !== 'k8s') wrong(`.type is "${type}", not k8s`);
  if (protocol !== 'tcp' && protocol !== 'udp') wrong(`.protocol is "${protocol}", not tcp or udp`);
  if (!Number.isInteger(targetPort) || targetPort! < 1 || targetPort! > 65535)
    wrong(`.targetPort is "${targetPort}", no port`);
  const port: ExpectedPort = { protocol: protocol === 'udp' ? 'UDP' : 'TCP', port: targetPort! };
  const to = dst?.host?.name ?? resource('dst.k8sResource', dst?.k8sResource);
  const expect = exitCode === 0 ? 'allow' : 'deny';
  const from = resource('src.k8sResource', src?.k8sResource);
  return { name: name ?? `${from} -> ${to} ${targetPort} ${expect}`, from, to, ports: [port], expect, attempts };
}

/** Ports: `80`, `-80` for closed, `TCP:80`, `UDP:53`, several with commas between them or as a list. */
function ofVersion1(file: string, kinds: unknown): Expectation[] {
  const rows = Object.entries((kinds ?? {}) as Record<string, unknown>).flatMap(([kind, sources]) =>
    Object.entries(sources as Record<string, unknown>).map(([source, targets]) => ({ kind, source, targets })),
  );
  return rows.flatMap(({ kind, source, targets }) => {
    if (!KINDS.includes(kind))
      throw new Fault(`${file}: k8s.${kind} is not one of ${KINDS.join(', ')}`, { exitCode: 2 });
    const [name, namespace = 'default'] = source.split(':').reverse();
    const from = kind === 'pod' ? `${namespace}/${name}` : `${kind}/${namespace}/${name}`;
    return Object.entries(targets as Record<string, unknown>).flatMap(([host, ports]) =>
      [ports]
        .flat()
        .flatMap((each) => String(each).split(/[\s,]+/))
        .map((text): Expectation => {
          const [, closed, protocol = 'TCP', port] = /^(-)?(?:-?(TCP|UDP):)?-?(\d+)$/.exec(text) ?? [];
          if (port === undefined) {
            throw new Fault(`${file}: k8s.${kind}.${source}.${host}: "${text}" is no port such as 80, -80 or UDP:53`, {
              exitCode: 2,
            });
          }
          const expect = closed || text.includes(':-') ? 'deny' : 'allow';
          // A word without dots is a Service of the namespace, as a pod's resolver would have it.
          const to = host.includes('.') ? host : `${host}.${namespace}.svc`;
          const asked: ExpectedPort = { protocol: protocol as 'TCP' | 'UDP', port: Number(port) };
          return { name: `${source} -> ${host} ${text} ${expect}`, from, to, ports: [asked], expect, attempts: 3 };
        }),
    );
  });
}
