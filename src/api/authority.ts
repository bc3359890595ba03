// Room api: the cluster's keys: its certificate authority and the key that signs service account tokens, kept in the state directory.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../sys/folder.ts';
import { issueCertificate, newKeyPair, type Signer } from './certificate.ts';

export interface KeyAndCertificate {
  /** PEM */
  readonly key: string;
  readonly certificate: string;
}

export interface ClusterKeys {
  /** PEM of the authority's certificate. */
  readonly authority: string;
  readonly tokenKey: KeyObject;
  server(names: readonly string[]): KeyAndCertificate;
  client(commonName: string, organizations: readonly string[]): KeyAndCertificate;
}

const DAYS = 3650;

/** `stateDir` undefined: keys that live as long as this process. */
export function clusterKeys(stateDir: string | undefined, clusterName: string): ClusterKeys {
  const directory = stateDir && join(stateDir, 'pki');
  if (directory) makeFolder(directory, 0o700);
  const name = { commonName: `${clusterName} authority` };
  const signer: Signer = { name, ...keyPair(directory, 'ca.key') };
  const authority = kept(directory, 'ca.crt', () =>
    issueCertificate({ subject: name, publicKey: signer.publicKey, usage: 'authority', days: DAYS }, signer),
  );
  const tokenKey = keyPair(directory, 'service-account.key').privateKey;
  const issue = (
    usage: 'server' | 'client',
    commonName: string,
    names: readonly string[],
    groups: readonly string[],
  ) => {
    const pair = newKeyPair();
    const subject = { commonName, organizations: groups };
    const request = { subject, publicKey: pair.publicKey, usage, names, days: DAYS };
    return { key: pemOf(pair.privateKey), certificate: issueCertificate(request, signer) };
  };
  return {
    authority,
    tokenKey,
    server: (names) => issue('server', 'podwire-api', names, []),
    client: (commonName, organizations) => issue('client', commonName, [], organizations),
  };
}

function keyPair(directory: string | undefined, file: string): { privateKey: KeyObject; publicKey: KeyObject } {
  const privateKey = createPrivateKey(kept(directory, file, () => pemOf(newKeyPair().privateKey)));
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Made once and read ever after. */
function kept(directory: string | undefined, file: string, make: () => string): string {
  if (!directory) return make();
  const path = join(directory, file);
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const text = make();
  writeFileSync(path, text, { mode: 0o600, flush: true });
  return text;
}
