// Room node: the annotations that limit what a pod receives and sends.
import { parseQuantity } from '../objects/quantity.ts';
import type { Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { Bandwidth, Shape } from '../plan/bandwidth.ts';

const ANNOTATIONS = {
  ingress: 'kubernetes.io/ingress-bandwidth',
  egress: 'kubernetes.io/egress-bandwidth',
} as const;
/** Bits a second; the limits of Kubernetes. */
const LEAST = 1_000n;
const MOST = 1_000_000_000_000_000n;
const NANO = 1_000_000_000n;
/** Of traffic at full rate, in seconds; and bits of one large segment, which no limit is to cut into frames. */
const BURST_SECONDS = 0.1;
const LEAST_BURST = 8 * 65_536;

/** Throws a Fault that names the annotation, in Kubernetes' words. */
export function podBandwidth({ metadata }: Pick<Pod, 'metadata'>): Bandwidth {
  const shape = (direction: keyof typeof ANNOTATIONS) => readShape(ANNOTATIONS[direction], metadata.annotations ?? {});
  const ingress = shape('ingress');
  const egress = shape('egress');
  return { ...(ingress && { ingress }), ...(egress && { egress }) };
}

function readShape(name: string, annotations: Readonly<Record<string, string>>): Shape | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const refuse = (why: string): never => {
    throw new Fault(`failed to get pod bandwidth info from annotations: ${name}: "${text}": ${why}`);
  };
  const value = parseQuantity(text) ?? refuse('quantities must match a number with a suffix such as k, M or G');
  if (value < LEAST * NANO) refuse('resource is unreasonably small (< 1kbit)');
  if (value > MOST * NANO) refuse('resource is unreasonably large (> 1Pbit)');
  const rate = Number(value / NANO);
  return { rate, burst: Math.max(LEAST_BURST, Math.round(rate * BURST_SECONDS)) };
}
