// Room api: the paths beside the kinds.
import { type Answer, type Call, valueAnswer } from './answer.ts';
import { methodNotAllowed } from './errors.ts';
import type { SpecialPaths } from './handler.ts';

const HEALTH = new Set(['/livez', '/readyz', '/healthz']);

export class SpecialPathTable implements SpecialPaths {
  answer(call: Call): Answer | undefined {
    if (HEALTH.has(call.path)) return { status: 200, content: { type: 'text', text: 'ok', mediaType: 'text/plain' } };
    if (call.path === '/version') return valueAnswer({ major: '1', minor: '36', gitVersion: 'v1.36.0+podwire' });
    return undefined;
  }

  createToken(): Answer {
    throw methodNotAllowed();
  }
}
