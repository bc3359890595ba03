// Room objects: the syntax of names, labels, annotations, ports and DNS names, in the words of Kubernetes' API.
import { formatIP, parseIP } from '../../addr/ip.ts';

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const VALUE = `(${QUALIFIED})?`;
const CONFIG_KEY = '[-._a-zA-Z0-9]+';

function whole(pattern: string): RegExp {
  return new RegExp(`^${pattern}$`);
}

/** `… (e.g. 'a',  or 'b', regex used for validation is '…')`: two spaces, as Kubernetes prints it. */
function expected(what: string, pattern: string, ...examples: string[]): string {
  const quoted = examples.map((example) => `'${example}'`).join(',  or ');
  return `${what} (e.g. ${quoted}, regex used for validation is '${pattern}')`;
}

function atMost(length: number): string {
  return `must be no more than ${length} bytes`;
}

/** What is wrong with the text; nothing when it is right. */
type Problems = string[];

function check(text: string, limit: number, pattern: RegExp, message: string): Problems {
  const problems: Problems = [];
  if (Buffer.byteLength(text) > limit) problems.push(atMost(limit));
  if (!pattern.test(text)) problems.push(message);
  return problems;
}

const LABEL_REGEX = whole(LABEL);
const LABEL_MESSAGE = expected(
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  LABEL,
  'my-name',
  '123-abc',
);
/** RFC 1123 label: what names a namespace, a container, a port of a Service. */
export function dns1123LabelProblems(text: string): Problems {
  return check(text, 63, LABEL_REGEX, LABEL_MESSAGE);
}

const SUBDOMAIN_REGEX = whole(SUBDOMAIN);
const SUBDOMAIN_MESSAGE = expected(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  SUBDOMAIN,
  'example.com',
);
/** RFC 1123 subdomain: what names most objects. */
export function dns1123SubdomainProblems(text: string): Problems {
  return check(text, 253, SUBDOMAIN_REGEX, SUBDOMAIN_MESSAGE);
}

const WILDCARD = `\\*\\.${SUBDOMAIN}`;
const WILDCARD_REGEX = whole(WILDCARD);
const WILDCARD_MESSAGE = expected(
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
  WILDCARD,
  '*.example.com',
);
/** `*.example.com`: the host of an Ingress rule. */
export function wildcardSubdomainProblems(text: string): Problems {
  return check(text, 253, WILDCARD_REGEX, WILDCARD_MESSAGE);
}

/** Names that are one segment of a path and free otherwise. */
export function pathSegmentProblems(text: string): Problems {
  if (text === '.' || text === '..') return [`may not be '${text}'`];
  return ['/', '%'].filter((sign) => text.includes(sign)).map((sign) => `may not contain '${sign}'`);
}

const QUALIFIED_REGEX = whole(QUALIFIED);
const QUALIFIED_MESSAGE = expected(
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  QUALIFIED,
  'MyName',
  'my.name',
  '123-abc',
);

/** `[prefix/]name`: the key of a label or annotation, the name of a resource or finalizer. */
export function labelKeyProblems(text: string): Problems {
  const parts = text.split('/');
  if (parts.length > 2) {
    const message = expected(
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      QUALIFIED,
      'MyName',
      'my.name',
      '123-abc',
    );
    return [`${message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const problems: Problems = [];
  const name = parts.pop()!;
  const prefix = parts[0];
  if (prefix === '') problems.push('prefix part must be non-empty');
  else if (prefix !== undefined) {
    problems.push(...dns1123SubdomainProblems(prefix).map((problem) => `prefix part ${problem}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else if (name.length > 63) problems.push(`name part ${atMost(63)}`);
  if (!QUALIFIED_REGEX.test(name)) problems.push(QUALIFIED_MESSAGE);
  return problems;
}

const VALUE_REGEX = whole(VALUE);
const VALUE_MESSAGE = expected(
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  VALUE,
  'MyValue',
  'my_value',
  '12345',
);
export function labelValueProblems(text: string): Problems {
  return check(text, 63, VALUE_REGEX, VALUE_MESSAGE);
}

const CONFIG_KEY_REGEX = whole(CONFIG_KEY);
const CONFIG_KEY_MESSAGE = expected(
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
  CONFIG_KEY,
  'key.name',
  'KEY_NAME',
  'key-name',
);
/** The key of a ConfigMap or Secret, which may become the name of a file. */
export function configKeyProblems(text: string): Problems {
  const problems = check(text, 253, CONFIG_KEY_REGEX, CONFIG_KEY_MESSAGE);
  if (text === '.') problems.push("must not be '.'");
  else if (text === '..') problems.push("must not be '..'");
  else if (text.startsWith('..')) problems.push("must not start with '..'");
  return problems;
}

/** Any printable ASCII but `=`: since Kubernetes 1.34 the name of an environment variable may be anything a process can have. */
export function envNameProblems(text: string): Problems {
  const good = text !== '' && /^[\x20-\x7e]+$/.test(text) && !text.includes('=');
  return good
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** IANA service name: how a port of a container is named. */
export function portNameProblems(text: string): Problems {
  const problems: Problems = [];
  if (text.length > 15) problems.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(text)) {
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(text)) problems.push('must contain at least one letter (a-z)');
  if (text.includes('--')) problems.push('must not contain consecutive hyphens');
  if (text.startsWith('-') || text.endsWith('-')) problems.push('must not begin or end with a hyphen');
  return problems;
}

export function portNumberProblems(port: number): Problems {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];
}

/** An address in its one shortest form: two objects must not stand for one address. */
export function ipAddressNameProblems(name: string): string[] {
  const bytes = parseIP(name);
  if (!bytes) return ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
  return formatIP(bytes) === name ? [] : [`must be in canonical form ("${formatIP(bytes)}")`];
}
