// Room objects: defaults of Secrets.
import type { Secret } from '../types.ts';

/** stringData is for writing only: it goes into data, over what stands there. */
export function defaultSecret(secret: Secret): void {
  secret.type ||= 'Opaque';
  if (!secret.stringData) return;
  secret.data ??= {};
  for (const [key, text] of Object.entries(secret.stringData)) secret.data[key] = Buffer.from(text).toString('base64');
  delete secret.stringData;
}
