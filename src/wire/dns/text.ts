// Room wire: records as the lines of a zone file, as dig and an operator write them.
import { CLASS, type Name, type RData, type ResourceRecord, TYPE } from './message.ts';

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, code]) => [code, name]));

/** `A`, or `TYPE65280` for a type that has no name here (RFC 3597). */
export function typeName(code: number): string {
  return TYPE_NAMES.get(code) ?? `TYPE${code}`;
}

/** `web.shop.svc.cluster.local. 5 IN A 10.96.0.20` */
export function recordText(record: ResourceRecord): string {
  const type = record.type === 'other' ? typeName(record.code) : record.type;
  const klass = record.class === CLASS.IN ? 'IN' : `CLASS${record.class}`;
  return `${absolute(record.name)} ${record.ttl} ${klass} ${type} ${dataText(record)}`;
}

function dataText(data: RData): string {
  switch (data.type) {
    case 'A':
    case 'AAAA':
      return data.address;
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return absolute(data.target);
    case 'SRV':
      return `${data.priority} ${data.weight} ${data.port} ${absolute(data.target)}`;
    case 'TXT':
      return data.strings.map(quoted).join(' ');
    case 'SOA': {
      const numbers = [data.serial, data.refresh, data.retry, data.expire, data.minimum].join(' ');
      return `${absolute(data.mname)} ${absolute(data.rname)} ${numbers}`;
    }
    case 'other':
      return `\\# ${data.data.length} ${Buffer.from(data.data).toString('hex')}`.trimEnd();
  }
}

function absolute(name: Name): string {
  return name === '.' ? '.' : `${name}.`;
}

function quoted(text: string): string {
  let inner = '';
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (char === '"' || char === '\\') inner += `\\${char}`;
    else inner += code >= 0x20 && code < 0x7f ? char : `\\${String(code).padStart(3, '0')}`;
  }
  return `"${inner}"`;
}
