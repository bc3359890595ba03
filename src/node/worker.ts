// Room node: a node's worker thread: moves into the node's network namespace, then is its agent.
import { stat } from 'node:fs/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type PortLine, portTransport } from '../client/port.ts';
import { logger } from '../observe/log.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { type DescriptorTable, writeDescriptorsTo } from '../sys/descriptors.ts';
import { enterNetns } from '../sys/netns.ts';
import { stopPolling } from '../sys/poll.ts';
import { callsUnderWay } from '../sys/pool-calls.ts';
import type { Datapath, NodeOptions } from './agent.ts';
import type { OverlayStep } from './overlay.ts';
import { type Agent, startAgent } from './start.ts';

const { options, descriptors } = workerData as { options: NodeOptions; descriptors: DescriptorTable };
writeDescriptorsTo(descriptors);
process.on('uncaughtException', dieAlone);
const log = logger('node', { node: options.nodeName });
let agent: Agent | undefined;
let line: PortLine | undefined;
/** Cut off from the API server, as a node is whose plug is pulled. */
let isCut = false;

/** `start` comes once the node's network namespace is there and the datapath is settled: until then this thread may load what it needs. */
type ToAgent =
  | { type: 'start'; port: MessagePort; datapath: Datapath }
  | { type: 'report' }
  | { type: 'cut'; cut: boolean }
  | { type: 'overlay'; settings: OverlaySettings; step: OverlayStep }
  | { type: 'address'; ip: string; to: string | undefined }
  | { type: 'stop'; leave: boolean }
  | { type: 'die' };

parentPort!.on('message', (message: ToAgent) => {
  if (message.type === 'start') start(message.port, message.datapath).catch(fail);
  if (message.type === 'stop') void stop(message.leave);
  if (message.type === 'die') dieAlone(new Error('killed (podwire node kill)'));
  if (message.type === 'overlay') changeOverlay(message.settings, message.step);
  if (message.type === 'cut') cut(message.cut);
  if (message.type === 'address') {
    const to = agent?.moveAddress(message.ip, message.to);
    parentPort!.postMessage({ type: 'address', ip: message.ip, to: to ?? '' });
  }
  if (message.type === 'report') parentPort!.postMessage({ type: 'report', report: agent?.report() });
});

async function start(port: MessagePort, datapath: Datapath): Promise<void> {
  // The threads of libuv's pool keep the namespaces in which they are born: let them be born now, in the machine's.
  await stat('/');
  if (options.netns) enterNetns(options.netns);
  line = portTransport(port);
  line.hold(isCut);
  agent = await startAgent({ options: { ...options, datapath }, transport: line });
  await agent.ready;
  parentPort!.postMessage({ type: 'ready' });
}

function cut(wanted: boolean): void {
  if (wanted !== isCut) log.warn(wanted ? 'cut off from the API server' : 'the API server is in reach again');
  isCut = wanted;
  line?.hold(wanted);
  parentPort!.postMessage({ type: 'cut', cut: wanted });
}

function changeOverlay(settings: OverlaySettings, step: OverlayStep): void {
  let problem: string | undefined;
  try {
    if (agent) agent.changeOverlay(settings, step);
    else problem = 'the agent is starting';
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  parentPort!.postMessage({ type: 'overlay', step, problem });
}

async function stop(leave: boolean): Promise<void> {
  try {
    await agent?.close(leave);
  } catch (error) {
    log.warn({ err: error }, 'the agent did not stop in good order');
  }
  parentPort!.postMessage({ type: 'stopped' });
  onceAlone(() => process.exit(0));
}

/** An error that nobody catches ends this thread, as ever, and not the process with all its nodes. */
function dieAlone(error: unknown): void {
  onceAlone(() => {
    process.off('uncaughtException', dieAlone);
    throw error;
  });
}

/** Calls once nothing calls back from outside of JavaScript any more: of a thread that has ended, that would end the process. */
function onceAlone(end: () => void): void {
  stopPolling();
  const last = () => {
    if (callsUnderWay() > 0) {
      setTimeout(last, 1);
      return;
    }
    // What began to wait meanwhile.
    stopPolling();
    end();
  };
  setImmediate(last);
}

function fail(error: unknown): void {
  log.error({ err: error }, 'the agent could not start');
  parentPort!.postMessage({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  onceAlone(() => process.exit(1));
}
