// Ends one node's agent, and nothing else of its daemon; or makes it hang.
import { until } from './machine.ts';

const DIE = "setImmediate(() => { throw new Error('broken by a test') })";
/** Longer than the inspector needs to let go of it. */
const HANG = 'setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000), 500)';

/** Throws an error that nobody catches in the thread of that node. Says whether the thread was there: one that has just died has no successor yet. */
export function breakThread(daemon: number, node: string): Promise<boolean> {
  return evaluate(daemon, node, DIE, 'NodeWorker.detachedFromWorker');
}

/** The thread of that node hears nothing for a minute, as in a system call that does not return. */
export function hangThread(daemon: number, node: string): Promise<boolean> {
  return evaluate(daemon, node, HANG, 'NodeWorker.receivedMessageFromWorker');
}

/** By way of Node's inspector; resolves when it tells of `done`. */
async function evaluate(daemon: number, node: string, expression: string, done: string): Promise<boolean> {
  const url = await inspectorOf(daemon);
  const socket = new WebSocket(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // Attached threads are told of before the answer to `enable` (id 1).
  let found = false;
  const send = (id: number, method: string, params: object) => socket.send(JSON.stringify({ id, method, params }));
  socket.onopen = () => send(1, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
  socket.onmessage = ({ data }) => {
    const { id, method, params } = JSON.parse(String(data)) as {
      id?: number;
      method?: string;
      params?: { sessionId: string; workerInfo?: { title: string } };
    };
    if (id === 1 && !found) resolve(false);
    if (method === done) resolve(true);
    if (method !== 'NodeWorker.attachedToWorker' || !params?.workerInfo?.title.includes(node)) return;
    found = true;
    const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
    send(2, 'NodeWorker.sendMessageToWorker', { sessionId: params.sessionId, message });
  };
  socket.onclose = () => resolve(found);
  const said = await promise;
  socket.close();
  return said;
}

const SIGNAL_AGAIN_MS = 2000;

/** Where its inspector listens, which the signal starts. Where there is none, the error's cause says whether the daemon is. */
function inspectorOf(daemon: number): Promise<string> {
  let signalled = 0;
  return until(`the inspector of process ${daemon} listens`, async () => {
    if (Date.now() - signalled > SIGNAL_AGAIN_MS) {
      signal(daemon);
      signalled = Date.now();
    }
    const targets = (await (await fetch('http://127.0.0.1:9229/json/list')).json()) as { id: string }[];
    // Of a target with which somebody speaks already no address is told, but it takes another.
    return targets[0] && `ws://127.0.0.1:9229/${targets[0].id}`;
  });
}

function signal(daemon: number): void {
  try {
    process.kill(daemon, 'SIGUSR1');
  } catch (error) {
    throw new Error(`process ${daemon} has ended before it could be broken`, { cause: error });
  }
}
