// Ends one node's agent, and nothing else of its daemon.
import { until } from './machine.ts';

/**
 * Throws an error that nobody catches in the thread of that node, by way of Node's inspector. Says whether the thread was there: one that
 * has just died has no successor yet.
 */
export async function breakThread(daemon: number, node: string): Promise<boolean> {
  process.kill(daemon, 'SIGUSR1');
  const url = await until('the inspector listens', async () => {
    const targets = (await (await fetch('http://127.0.0.1:9229/json/list')).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    return targets[0]?.webSocketDebuggerUrl;
  });
  const socket = new WebSocket(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // Attached threads are told of before the answer to `enable` (id 1).
  let found = false;
  const send = (id: number, method: string, params: object) => socket.send(JSON.stringify({ id, method, params }));
  const expression = "setImmediate(() => { throw new Error('broken by a test') })";
  socket.onopen = () => send(1, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
  socket.onmessage = ({ data }) => {
    const { id, method, params } = JSON.parse(String(data)) as {
      id?: number;
      method?: string;
      params?: { sessionId: string; workerInfo?: { title: string } };
    };
    if (id === 1 && !found) resolve(false);
    if (method === 'NodeWorker.detachedFromWorker') resolve(true);
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
