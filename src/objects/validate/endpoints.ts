// Room objects: validation of EndpointSlices and Endpoints.
import type { V1Endpoint } from '@kubernetes/client-node';
import type { EndpointSlice, Endpoints, Json } from '../types.ts';
import { checkEndpointIP, checkIP, isFamily, PROTOCOLS } from './addresses.ts';
import {
  type Causes,
  checkImmutable,
  checkOneOf,
  checkSyntax,
  duplicate,
  invalidValue,
  notSupported,
  required,
  tooMany,
} from './causes.ts';
import { dns1123LabelProblems, dns1123SubdomainProblems, labelValueProblems, portNumberProblems } from './names.ts';

const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_PORTS = 20_000;
const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];

export function validateEndpointSlice(causes: Causes, slice: EndpointSlice): void {
  checkOneOf(causes, 'addressType', slice.addressType, ADDRESS_TYPES);
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > MAX_ENDPOINTS) causes.push(tooMany('endpoints', endpoints.length, MAX_ENDPOINTS));
  else
    for (const [i, endpoint] of endpoints.entries())
      validateEndpoint(causes, `endpoints[${i}]`, endpoint, slice.addressType);
  const ports = slice.ports ?? [];
  if (ports.length > MAX_PORTS) causes.push(tooMany('ports', ports.length, MAX_PORTS));
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const name = port.name ?? '';
    if (name) checkSyntax(causes, `ports[${i}].name`, name, dns1123LabelProblems(name));
    if (names.has(name)) causes.push(duplicate(`ports[${i}].name`, name));
    names.add(name);
    checkOneOf(causes, `ports[${i}].protocol`, port.protocol, PROTOCOLS);
    if (port.port !== undefined) checkNumber(causes, `ports[${i}].port`, port.port);
  }
}

function checkNumber(causes: Causes, field: string, port: number): void {
  for (const problem of portNumberProblems(port)) causes.push(invalidValue(field, port, problem));
}

type Endpoint = Json<V1Endpoint>;

function validateEndpoint(causes: Causes, at: string, endpoint: Endpoint, addressType: string): void {
  const addresses = endpoint.addresses ?? [];
  if (addresses.length === 0) causes.push(required(`${at}.addresses`, 'must contain at least 1 address'));
  if (addresses.length > MAX_ADDRESSES) causes.push(tooMany(`${at}.addresses`, addresses.length, MAX_ADDRESSES));
  for (const [i, address] of addresses.entries()) {
    const field = `${at}.addresses[${i}]`;
    if (addresses.indexOf(address) < i) causes.push(duplicate(field, address));
    if (addressType === 'FQDN') checkSyntax(causes, field, address, dns1123SubdomainProblems(address));
    else if (addressType === 'IPv4' || addressType === 'IPv6') {
      const right = isFamily(address, addressType === 'IPv4' ? 4 : 6);
      if (!right) causes.push(invalidValue(field, address, `must be a valid ${addressType} address`));
      else checkEndpointIP(causes, field, address);
    }
  }
  if (endpoint.nodeName) {
    checkSyntax(causes, `${at}.nodeName`, endpoint.nodeName, dns1123SubdomainProblems(endpoint.nodeName));
  }
  if (endpoint.hostname)
    checkSyntax(causes, `${at}.hostname`, endpoint.hostname, dns1123LabelProblems(endpoint.hostname));
  if (endpoint.zone) checkSyntax(causes, `${at}.zone`, endpoint.zone, labelValueProblems(endpoint.zone));
}

export function validateEndpointSliceUpdate(causes: Causes, slice: EndpointSlice, old: EndpointSlice): void {
  checkImmutable(causes, 'addressType', slice.addressType, old.addressType);
}

export function validateEndpoints(causes: Causes, endpoints: Endpoints): void {
  for (const [i, subset] of (endpoints.subsets ?? []).entries()) {
    const at = `subsets[${i}]`;
    const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
    if (addresses.length + notReadyAddresses.length === 0) {
      causes.push(required(at, 'must specify `addresses` or `notReadyAddresses`'));
    }
    for (const [name, list] of Object.entries({ addresses, notReadyAddresses })) {
      for (const [j, address] of list.entries()) {
        const field = `${at}.${name}[${j}]`;
        if (checkIP(causes, `${field}.ip`, address.ip)) checkEndpointIP(causes, `${field}.ip`, address.ip);
        if (address.hostname) {
          checkSyntax(causes, `${field}.hostname`, address.hostname, dns1123LabelProblems(address.hostname));
        }
      }
    }
    for (const [j, port] of ports.entries()) {
      const field = `${at}.ports[${j}]`;
      if (port.name) checkSyntax(causes, `${field}.name`, port.name, dns1123LabelProblems(port.name));
      else if (ports.length > 1) causes.push(required(`${field}.name`));
      checkNumber(causes, `${field}.port`, port.port);
      if (!port.protocol) causes.push(required(`${field}.protocol`));
      else if (!PROTOCOLS.includes(port.protocol)) {
        causes.push(notSupported(`${field}.protocol`, port.protocol, PROTOCOLS));
      }
    }
  }
}
