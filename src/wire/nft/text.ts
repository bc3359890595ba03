// Room wire: nftables objects as the text that an operator would type, and that `nft -f` takes.
import { familyOf } from '../../addr/ip.ts';
import { DATATYPES } from './datatype.ts';
import type { NftChain, NftDatatype, NftElement, NftItem, NftSet, NftValue } from './items.ts';
import type { NftFamily, NftKeyPart, NftRule, NftSelector, NftStatement, NftVerdict } from './rule.ts';
import { SELECTORS } from './selector.ts';
import { EXAMPLES, needsExamples } from './userdata.ts';

/** One rule on one line. */
export function ruleText(rule: NftRule, family: NftFamily): string {
  const words = rule.statements.map((statement) => statementText(statement, family));
  if (rule.comment !== undefined) words.push(`comment "${rule.comment}"`);
  return words.join(' ');
}

export function statementText(statement: NftStatement, family: NftFamily): string {
  switch (statement.kind) {
    case 'match':
      return matchText(statement.left, statement.right, statement.not === true);
    case 'lookup':
      return `${keyText(statement.key)} ${statement.not ? '!= ' : ''}@${statement.set}`;
    case 'vmap':
      return `${keyText(statement.key)} vmap @${statement.map}`;
    case 'verdict':
      return verdictText(statement);
    case 'snat':
    case 'dnat':
      return natText(statement, family);
    case 'set ct mark':
      return `ct mark set ${keyText(statement.key)} map @${statement.map}`;
    case 'update':
      return `update @${statement.set} { ${keyText(statement.key)} timeout ${statement.timeout}s : ${statement.data} }`;
    case 'delete':
      return `delete @${statement.set} { ${keyText(statement.key)} : ${statement.data} }`;
    case 'redirect':
      return `redirect to :${statement.port}`;
    case 'reject':
      return rejectText(statement.with, family);
    case 'masquerade':
    case 'notrack':
    case 'counter':
      return statement.kind;
    case 'trace':
      return 'meta nftrace set 1';
    case 'log':
      return `log prefix "${statement.prefix}"${statement.group === undefined ? '' : ` group ${statement.group}`}`;
    case 'set mark':
      return `meta mark set ${'map' in statement ? `${keyText(statement.key)} map @${statement.map}` : statement.mark}`;
    case 'limit':
      return `limit rate ${statement.rate}/${statement.per} burst ${statement.burst} packets`;
  }
}

function matchText(left: NftSelector, right: string | number, not: boolean): string {
  const { type } = SELECTORS[left];
  const value = type === 'ifname' ? `"${right}"` : right;
  return `${left} ${not ? (DATATYPES[type].bits ? '! ' : '!= ') : ''}${value}`;
}

function keyText(parts: readonly NftKeyPart[]): string {
  return parts.map(keyPartText).join(' . ');
}

function keyPartText(part: NftKeyPart): string {
  if (typeof part === 'string') return part;
  if (part.compute === 'random') return `numgen random mod ${part.mod}${part.offset ? ` offset ${part.offset}` : ''}`;
  return `jhash ${part.of.join(' . ')} mod ${part.mod} seed 0x0`;
}

export function verdictText(verdict: NftVerdict): string {
  return 'chain' in verdict ? `${verdict.verdict} ${verdict.chain}` : verdict.verdict;
}

function natText(statement: Extract<NftStatement, { kind: 'snat' | 'dnat' }>, family: NftFamily): string {
  if ('map' in statement) {
    const to = family === 'ip6' || statement.key.includes('ip6 daddr') ? 'ip6' : 'ip';
    return `dnat ${to} to ${keyText(statement.key)} map @${statement.map}`;
  }
  const six = familyOf(statement.to) === 6;
  const address = six && statement.port !== undefined ? `[${statement.to}]` : statement.to;
  const port = statement.port === undefined ? '' : `:${statement.port}`;
  return `${statement.kind} ${six ? 'ip6' : 'ip'} to ${address}${port}`;
}

function rejectText(how: string, family: NftFamily): string {
  if (how === 'tcp reset') return 'reject with tcp reset';
  return `reject with ${{ ip: 'icmp', ip6: 'icmpv6', inet: 'icmpx' }[family]} ${how}`;
}

/** The first line inside a set's braces. */
function setTypeText(set: NftSet): string {
  const examples = needsExamples(set);
  const parts = (types: readonly NftDatatype[]) => types.map((type) => (examples ? EXAMPLES[type] : type)).join(' . ');
  return `${examples ? 'typeof' : 'type'} ${parts(set.key)}${set.data ? ` : ${parts(set.data)}` : ''};`;
}

function valuesText(values: readonly NftValue[]): string {
  return values.join(' . ');
}

/** `10.96.0.1 . tcp . 80 comment "Service/shop/web" : goto n2` */
export function elementText(element: NftElement): string {
  const comment = element.comment === undefined ? '' : ` comment "${element.comment}"`;
  const { data } = element;
  if (!data) return `${valuesText(element.key)}${comment}`;
  return `${valuesText(element.key)}${comment} : ${'verdict' in data ? verdictText(data) : valuesText(data)}`;
}

function setText(set: NftSet, elements: readonly NftElement[]): string[] {
  const lines = [`${set.data ? 'map' : 'set'} ${set.set} {`, `  ${setTypeText(set)}`];
  if (set.size !== undefined) lines.push(`  size ${set.size};`);
  if (set.flags) lines.push(`  flags ${set.flags.join(',')};`);
  if (set.counter) lines.push('  counter;');
  if (elements.length > 0) {
    lines.push('  elements = {', ...elements.map((element) => `    ${elementText(element)},`), '  }');
  }
  return [...lines, '}'];
}

function chainText(chain: NftChain): string[] {
  const lines = [`chain ${chain.chain} {`];
  if (chain.base) {
    const { type, hook, priority, policy } = chain.base;
    lines.push(`  type ${type} hook ${hook} priority ${priority}; policy ${policy ?? 'accept'};`);
  }
  lines.push(...chain.rules.map((rule) => `  ${ruleText(rule, chain.family)}`));
  return [...lines, '}'];
}

/** Whole tables, as `nft -f` takes them; items in the order given. */
export function rulesetText(items: readonly NftItem[]): string {
  const tables = new Map<string, string[]>();
  const bodyOf = (item: NftItem): string[] => {
    const name = `table ${item.family} ${item.table}`;
    const found = tables.get(name) ?? [];
    tables.set(name, found);
    return found;
  };
  const elements = Map.groupBy(
    items.filter((item) => item.kind === 'element'),
    (element) => `${element.family} ${element.table} ${element.set}`,
  );
  for (const item of items) {
    const body = bodyOf(item);
    if (item.kind === 'set') {
      body.push(...setText(item, elements.get(`${item.family} ${item.table} ${item.set}`) ?? []));
    } else if (item.kind === 'chain') body.push(...chainText(item));
  }
  return [...tables].map(([name, body]) => `${name} {\n${body.map((line) => `  ${line}\n`).join('')}}\n`).join('');
}

/** One item as a command: what a log, `trace` or a dry run shows. */
export function itemText(item: NftItem): string {
  const table = `${item.family} ${item.table}`;
  switch (item.kind) {
    case 'table':
      return `add table ${table}`;
    case 'chain':
    case 'set': {
      const lines = item.kind === 'chain' ? chainText(item) : setText(item, []);
      return `add ${lines[0]!.replace(/^(\w+) /, `$1 ${table} `)} ${lines
        .slice(1)
        .map((line) => line.trim())
        .join(' ')}`;
    }
    case 'element':
      return `add element ${table} ${item.set} { ${elementText(item)} }`;
  }
}
