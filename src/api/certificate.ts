// Room api: X.509 certificates (RFC 5280) on ECDSA P-256 keys: the cluster's authority and what it signs.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { ipBytes, isIP } from '../addr/ip.ts';
import {
  bitString,
  type Der,
  integer,
  octetString,
  oid,
  sequence,
  set,
  TRUE,
  tagged,
  time,
  utf8String,
} from './der.ts';

export interface Signer {
  readonly name: DistinguishedName;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface DistinguishedName {
  readonly commonName: string;
  /** Kubernetes reads groups from here. */
  readonly organizations?: readonly string[];
}

export interface CertificateRequest {
  readonly subject: DistinguishedName;
  readonly publicKey: KeyObject;
  readonly usage: 'authority' | 'server' | 'client';
  /** DNS names and IP addresses. */
  readonly names?: readonly string[];
  readonly days: number;
}

export function newKeyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const CLOCK_SKEW_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** PEM text. For an authority of its own, `signer` is the subject itself. */
export function issueCertificate(request: CertificateRequest, signer: Signer): string {
  const serial = randomBytes(16);
  serial[0]! &= 0x7f;
  serial[0]! |= 0x40; // no leading zero byte, which DER would refuse
  const now = Date.now();
  const body = sequence(
    tagged(0, integer(Uint8Array.of(2))), // version 3
    integer(serial),
    ECDSA_SHA256,
    nameOf(signer.name),
    sequence(time(new Date(now - CLOCK_SKEW_MS)), time(new Date(now + request.days * DAY_MS))),
    nameOf(request.subject),
    spkiOf(request.publicKey),
    tagged(3, sequence(...extensionsOf(request, signer))),
  );
  const signature = sign('sha256', body, signer.privateKey);
  return pem(sequence(body, ECDSA_SHA256, bitString(signature)));
}

function pem(der: Der): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function nameOf({ commonName, organizations = [] }: DistinguishedName): Der {
  const attribute = (type: string, value: string) => set(sequence(oid(type), utf8String(value)));
  return sequence(...organizations.map((each) => attribute('2.5.4.10', each)), attribute('2.5.4.3', commonName));
}

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

function keyIdOf(key: KeyObject): Uint8Array {
  return createHash('sha1').update(spkiOf(key)).digest();
}

function extensionsOf({ usage, names = [], publicKey }: CertificateRequest, signer: Signer): Der[] {
  const extension = (id: string, critical: boolean, value: Der) =>
    sequence(oid(id), ...(critical ? [TRUE] : []), octetString(value));
  const authority = usage === 'authority';
  const extensions = [
    extension('2.5.29.19', true, sequence(...(authority ? [TRUE] : []))), // basicConstraints
    // keyUsage: digitalSignature, and for an authority keyCertSign and cRLSign
    extension('2.5.29.15', true, authority ? bitString(Uint8Array.of(0x86), 1) : bitString(Uint8Array.of(0x80), 7)),
    extension('2.5.29.14', false, octetString(keyIdOf(publicKey))),
    extension('2.5.29.35', false, sequence(tagged(0, keyIdOf(signer.publicKey), false))),
  ];
  if (!authority) {
    const purpose = usage === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2';
    extensions.push(extension('2.5.29.37', false, sequence(oid(purpose))));
  }
  if (names.length > 0) extensions.push(extension('2.5.29.17', false, sequence(...names.map(alternativeName))));
  return extensions;
}

function alternativeName(name: string): Der {
  return isIP(name) ? tagged(7, ipBytes(name), false) : tagged(2, Buffer.from(name), false);
}
