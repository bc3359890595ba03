// Room cli: files of expectations for `podwire policy test`, as people write them; those of netassert too.
import { parseAllDocuments } from 'yaml';
import { readUserFile, yamlProblem } from '../cluster/user-file.ts';
import { Fault } from '../observe/fault.ts';
import type { Expectation, ExpectedDns, ExpectedHttp, ExpectedPort } from '../plan/policy/expectations.ts';
import type { Protocol } from '../plan/policy/rules.ts';
import { netassertExpectations } from './netassert-file.ts';

type Entry = Readonly<Record<string, unknown>>;

const FIELDS = ['name', 'from', 'to', 'port', 'ports', 'expect', 'http', 'dns', 'answers', 'static', 'attempts'];
const EXAMPLE = 'write expectations: [{from: shop/web, to: shop/db, port: 5432, expect: allow}]';

/** Throws a Fault that names the file and the entry at fault; a file that expects nothing is one too. */
export function readExpectations(file: string, namespace: string): Expectation[] {
  const documents = parseAllDocuments(readUserFile(file, 2)).map((document) => {
    const [problem] = document.errors;
    if (problem) throw new Fault(`${file}: ${yamlProblem(problem)}`, { exitCode: 2 });
    return document.toJS() as unknown;
  });
  const found = documents.flatMap((document) => ofDocument(file, document, namespace));
  if (found.length === 0) throw new Fault(`${file} expects nothing`, { mend: EXAMPLE, exitCode: 2 });
  return found;
}

function ofDocument(file: string, document: unknown, namespace: string): Expectation[] {
  if (document === null || document === undefined) return [];
  const foreign = netassertExpectations(file, document);
  if (foreign) return foreign;
  const list = (document as Entry)['expectations'];
  if (!Array.isArray(list)) throw new Fault(`${file} expects nothing`, { mend: EXAMPLE, exitCode: 2 });
  return list.map((entry: unknown, i) => {
    try {
      return expectationOf(entry, namespace);
    } catch (error) {
      if (error instanceof WrongField) throw new Fault(`${file}: expectations[${i}]${error.message}`, { exitCode: 2 });
      throw error;
    }
  });
}

/** What is wrong, from the field on: `.expect is "maybe", not allow or deny`. */
class WrongField extends Error {}

function expectationOf(entry: unknown, namespace: string): Expectation {
  if (typeof entry !== 'object' || entry === null) throw new WrongField(' is no object');
  const fields = entry as Entry;
  const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw new WrongField(` has no field ${unknown}: there are ${FIELDS.join(', ')}`);
  const from = word(fields, 'from') ?? wrong('.from is missing: which pod?');
  const to = word(fields, 'to');
  const http = httpOf(fields);
  const dns = dnsOf(fields);
  const expect = fields['expect'] ?? (http || dns ? 'allow' : undefined);
  if (expect !== 'allow' && expect !== 'deny')
    throw new WrongField(
      expect === undefined ? '.expect is missing: allow or deny' : `.expect is "${expect}", not allow or deny`,
    );
  const ports = portsOf(fields['port'] ?? fields['ports'] ?? (http && to !== undefined ? 80 : undefined));
  if (to === undefined && !dns) throw new WrongField('.to is missing: whom does it speak to?');
  if (to !== undefined && ports.length === 0) throw new WrongField('.port is missing: 80, 53/UDP, or a name');
  const attempts = fields['attempts'] ?? 2;
  if (typeof attempts !== 'number' || attempts < 1) throw new WrongField(`.attempts is "${attempts}", not 1 or more`);
  const ends = { from: qualified(from, namespace), ...(to !== undefined && { to: qualified(to, namespace) }) };
  const what = to === undefined ? `asks for ${dns!.name}` : `-> ${to} ${ports.map(portText).join(',')}`;
  const answer = http?.status === undefined ? '' : ` HTTP ${http.status}`;
  return {
    name: word(fields, 'name') ?? `${from} ${what} ${expect}${answer}`,
    ...ends,
    ports,
    expect,
    ...(http && { http }),
    ...(dns && { dns }),
    ...(fields['static'] === true && { isStatic: true }),
    attempts,
  };
}

function wrong(message: string): never {
  throw new WrongField(message);
}

function word(fields: Entry, field: string): string | undefined {
  const value = fields[field];
  if (value === undefined || typeof value === 'string') return value;
  throw new WrongField(`.${field} is "${value}", not a word`);
}

/** A pod without a namespace is of the asked one; what has dots, colons or slashes says itself what it is. */
export function qualified(end: string, namespace: string): string {
  return /[./:]/.test(end) ? end : `${namespace}/${end}`;
}

export function portText({ protocol, port }: ExpectedPort): string {
  return protocol === 'TCP' ? String(port) : `${port}/${protocol}`;
}

function portsOf(value: unknown): ExpectedPort[] {
  if (value === undefined) return [];
  const list = Array.isArray(value) ? value : String(value).split(',');
  return list.map((each) => expectedPort(String(each).trim()) ?? wrong(`.port is "${each}", not 80, 53/UDP or a name`));
}

/** `80`, `53/UDP`, `http`; undefined: none of these. */
export function expectedPort(text: string): ExpectedPort | undefined {
  const [, port = '', word = 'TCP'] = /^([\w-]+)(?:\/(\w+))?$/.exec(text) ?? [];
  const protocol = word.toUpperCase();
  if (port === '' || !['TCP', 'UDP', 'SCTP'].includes(protocol)) return undefined;
  if (!/^\d+$/.test(port)) return { protocol: protocol as Protocol, port };
  return Number(port) > 0 && Number(port) < 65536 ? { protocol: protocol as Protocol, port: Number(port) } : undefined;
}

function httpOf(fields: Entry): ExpectedHttp | undefined {
  const value = fields['http'];
  if (value === undefined) return undefined;
  if (typeof value === 'number') return { status: value, path: '/' };
  if (typeof value !== 'object' || value === null) throw new WrongField('.http is no status, nor {status, path, host}');
  const { status, path = '/', host, ...more } = value as Record<string, unknown>;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) throw new WrongField(`.http has no field ${unknown}: there are status, path, host`);
  if (status !== undefined && typeof status !== 'number')
    throw new WrongField(`.http.status is "${status}", no number`);
  if (typeof path !== 'string' || !path.startsWith('/')) throw new WrongField(`.http.path is "${path}", without a /`);
  return { path, ...(status !== undefined && { status }), ...(host !== undefined && { host: String(host) }) };
}

function dnsOf(fields: Entry): ExpectedDns | undefined {
  const name = word(fields, 'dns');
  const answers = fields['answers'];
  if (name === undefined && answers !== undefined) throw new WrongField('.answers goes with .dns, a name');
  if (name === undefined) return undefined;
  if (answers !== undefined && !Array.isArray(answers)) throw new WrongField('.answers is no list of addresses');
  return { name, ...(answers !== undefined && { answers: answers.map(String) }) };
}
