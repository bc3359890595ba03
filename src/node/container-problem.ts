// Room node: why a container could not be made, in Kubernetes' reasons, and when it is tried again.
import { Fault } from '../observe/fault.ts';
import { missingImageMessage } from '../runtime/images/store.ts';
import { backoffDelay } from './backoff.ts';
import { ConfigError } from './downward.ts';
import type { Container, Problem } from './pod-view.ts';

export class ContainerProblem extends Error {
  override name = 'ContainerProblem';
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }

  static noImage({ image = '', imagePullPolicy }: Container): ContainerProblem {
    if (imagePullPolicy !== 'Never') return new ContainerProblem('ErrImagePull', missingImageMessage(image));
    const message = `Container image "${image}" is not present with pull policy of Never`;
    return new ContainerProblem('ErrImageNeverPull', message);
  }
}

/** The reason of the second and later failures in a row to get an image is ImagePullBackOff. */
export function problemAfter(error: unknown, container: Container, before: Problem | undefined, now: number): Problem {
  const reason = reasonOf(error);
  const text = error instanceof Error ? error.message : String(error);
  const message = error instanceof Fault && error.mend ? `${text}: ${error.mend}` : text;
  const tries = (before?.tries ?? 0) + 1;
  const again = { tries, retryAt: now + backoffDelay(tries) };
  if (reason !== 'ErrImagePull' || tries === 1) return { reason, message, ...again };
  return {
    reason: 'ImagePullBackOff',
    message: `Back-off pulling image "${container.image}": ${reason}: ${message}`,
    ...again,
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof ContainerProblem) return error.reason;
  return error instanceof ConfigError ? 'CreateContainerConfigError' : 'CreateContainerError';
}
