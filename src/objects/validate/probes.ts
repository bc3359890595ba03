// Room objects: validation of probes and lifecycle handlers.
import type { V1HTTPGetAction, V1LifecycleHandler, V1Probe } from '@kubernetes/client-node';
import type { Json } from '../types.ts';
import { checkPort } from './addresses.ts';
import { type Causes, checkNotNegative, checkOneOf, forbidden, invalidValue, required } from './causes.ts';
import { portNumberProblems } from './names.ts';

type Probe = Json<V1Probe>;

const COUNTS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const;

export function validateProbe(
  causes: Causes,
  at: string,
  probe: Probe | undefined,
  role: 'liveness' | 'readiness' | 'startup',
): void {
  if (!probe) return;
  const { exec, httpGet, tcpSocket, grpc } = probe;
  validateHandler(causes, at, { exec, httpGet, tcpSocket } as Json<V1LifecycleHandler>, grpc);
  for (const name of COUNTS) checkNotNegative(causes, `${at}.${name}`, probe[name]);
  if (role !== 'readiness' && probe.successThreshold !== 1) {
    causes.push(invalidValue(`${at}.successThreshold`, probe.successThreshold, 'must be 1'));
  }
  const grace = probe.terminationGracePeriodSeconds;
  if (grace === undefined) return;
  if (role === 'readiness') {
    causes.push(invalidValue(`${at}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes'));
  } else if (grace <= 0) {
    causes.push(invalidValue(`${at}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  }
}

/** Exactly one way to act, and that one well formed. */
export function validateHandler(
  causes: Causes,
  at: string,
  handler: Json<V1LifecycleHandler>,
  grpc?: Probe['grpc'],
): void {
  const { exec, httpGet, tcpSocket, sleep } = handler;
  const given = Object.entries({ exec, httpGet, tcpSocket, sleep, grpc }).filter(([, value]) => value);
  if (given.length === 0) causes.push(required(at, 'must specify a handler type'));
  for (const [name] of given.slice(1)) {
    causes.push(forbidden(`${at}.${name}`, 'may not specify more than 1 handler type'));
  }
  if (exec && !exec.command?.length) causes.push(required(`${at}.exec.command`));
  if (httpGet) validateHTTPGet(causes, `${at}.httpGet`, httpGet);
  if (tcpSocket) checkPort(causes, `${at}.tcpSocket.port`, tcpSocket.port);
  if (grpc) {
    for (const problem of portNumberProblems(grpc.port))
      causes.push(invalidValue(`${at}.grpc.port`, grpc.port, problem));
  }
  if (sleep && sleep.seconds < 0) {
    causes.push(invalidValue(`${at}.sleep.seconds`, sleep.seconds, 'must be non-negative'));
  }
}

function validateHTTPGet(causes: Causes, at: string, action: Json<V1HTTPGetAction>): void {
  if (!action.path) causes.push(required(`${at}.path`));
  checkPort(causes, `${at}.port`, action.port);
  checkOneOf(causes, `${at}.scheme`, action.scheme, ['HTTP', 'HTTPS']);
  for (const [i, header] of (action.httpHeaders ?? []).entries()) {
    if (/^[-A-Za-z0-9]+$/.test(header.name ?? '')) continue;
    const why =
      "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
    causes.push(invalidValue(`${at}.httpHeaders[${i}].name`, header.name ?? '', why));
  }
}
