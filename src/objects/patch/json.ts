// Room objects: JSON Patch (RFC 6902).
import { applyPatch, type Operation } from 'rfc6902';
import { failure } from '../status.ts';

const OPERATIONS = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

/** Kubernetes' own limit on the operations of one patch. */
const MAX_OPERATIONS = 10_000;

/** The patched copy; `current` is not changed. Throws a StatusError: 400 for a malformed patch, 422 when it does not apply. */
export function jsonPatch<T>(current: T, patch: unknown): T {
  const operations = checkOperations(patch);
  const copy = structuredClone(current);
  for (const operation of operations) {
    const why = apply(copy, operation);
    if (why) throw failure(422, 'Invalid', `the server rejected our request due to an error in our request: ${why}`);
  }
  return copy;
}

/** Undefined when it applies. */
function apply(object: unknown, operation: Operation): string | undefined {
  try {
    const [error] = applyPatch(object, [operation]);
    return error ? reason(error, operation) : undefined;
  } catch (error) {
    // The library words what differs with both values, and some cannot be made text: { toString: 1 }.
    if (operation.op === 'test' && error instanceof TypeError) return testFailed(operation);
    throw error;
  }
}

function checkOperations(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) throw malformed('a JSON Patch is a list of operations');
  if (patch.length > MAX_OPERATIONS) {
    throw failure(
      413,
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    );
  }
  for (const operation of patch) {
    const { op, path, from } = Object(operation) as { op?: unknown; path?: unknown; from?: unknown };
    if (typeof op !== 'string' || !OPERATIONS.has(op))
      throw malformed(`Unexpected kind: ${typeof op === 'string' ? op : JSON.stringify(op)}`);
    if (!isPointer(path)) throw malformed(`operation ${op}: "path" is not a JSON pointer`);
    if ((op === 'move' || op === 'copy') && !isPointer(from)) {
      throw malformed(`operation ${op}: "from" is not a JSON pointer`);
    }
    if (!('value' in operation) && ['add', 'replace', 'test'].includes(op))
      throw malformed(`operation ${op} has no value`);
  }
  return patch as Operation[];
}

function isPointer(text: unknown): boolean {
  return typeof text === 'string' && (text === '' || text.startsWith('/')) && !text.includes('/__proto__');
}

function malformed(why: string): Error {
  return failure(400, 'BadRequest', `error decoding patch: ${why}`);
}

function reason(error: Error, operation: Operation): string {
  if (error.name === 'TestError') return testFailed(operation);
  return `${operation.op} operation does not apply: doc is missing path: ${JSON.stringify(operation.path)}`;
}

function testFailed(operation: Operation): string {
  return `testing value ${operation.path} failed: test failed`;
}
