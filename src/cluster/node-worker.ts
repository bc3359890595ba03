// Room cluster: a node's agent in a worker thread of the box, started again when it dies.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ApiServer } from '../api/server.ts';
import type { NodeOptions } from '../node/agent.ts';
import type { OverlayStep } from '../node/overlay.ts';
import type { AgentReport } from '../node/start.ts';
import { Fault } from '../observe/fault.ts';
import { programFile } from '../observe/install.ts';
import { logger } from '../observe/log.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { podCgroupName } from '../runtime/paths.ts';
import { closeLeftOpen, createDescriptorTable } from '../sys/descriptors.ts';
import { netnsPath } from '../sys/netns.ts';
import type { ClusterConfig } from './config.ts';
import { settleDatapath, settleProxyMode } from './datapath.ts';
import { dnsServiceIPs, type NodeLayout } from './layout.ts';
import { releaseAddresses } from './lost-agent.ts';
import { imageDir, nodeDir } from './paths.ts';
import { findRuntime } from './programs.ts';
import { machineResolvers } from './resolvers.ts';

const log = logger('cluster');
const RESTART_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
/** An agent that does not close in order dies without; what it runs goes on all the same. */
const STOP_LIMIT_MS = 5000;
/** A thread that does not even die by then hears nothing. */
const DEATH_LIMIT_MS = 2000;
const REPORT_LIMIT_MS = 1000;
/** For what an agent has made lately: what is not needed is kept all the same, 4 MiB a node of 12, and 2,000 Services x 10 load no sooner with it. */
const YOUNG_MIB = 6;
/** An agent that has never been ready and dies so often will not get better. */
const DEATHS_BEFORE_READY = 3;
const OVERLAY_LIMIT_MS = 10_000;
const CUT_LIMIT_MS = 5000;

export interface NodeWorker {
  readonly layout: NodeLayout;
  /** Settles when the agent's network, proxy and DNS are in force and its Node is Ready. */
  readonly ready: Promise<void>;
  /** What the agent tells of itself, or undefined when it does not answer within a second: it is starting, stuck or dead. */
  report(): Promise<AgentReport | undefined>;
  /** Lets the agent begin: its network namespace is there. It may ask the API at once; the answers wait for `connect`. */
  start(): void;
  /** Gives the agent its way to the API. */
  connect(api: ApiServer): void;
  /** Cuts the agent off from the API, or puts it through again. Resolves when from now on nothing passes. */
  cutOff(cut: boolean): Promise<void>;
  /** One step of the way to another overlay. Throws a Fault when the node refuses it or does not answer. */
  changeOverlay(settings: OverlaySettings, step: OverlayStep): Promise<void>;
  /** Gives a load balancer address to another node, `to` where it is given; returns to which, or undefined when the node has it not or nobody else can. */
  moveAddress(ip: string, to?: string): Promise<string | undefined>;
  /** Ends the agent without a word, as if it had crashed; `stay`: it does not come back by itself. Throws a Fault when its thread hangs. */
  kill(stay: boolean): Promise<void>;
  /** `leave`: the node is to go, and others are to have its load balancer addresses at once. Says whether it has ended: a thread that hangs is left to itself. */
  stop(leave?: boolean): Promise<boolean>;
}

type FromAgent =
  | { type: 'ready' }
  | { type: 'report'; report: AgentReport | undefined }
  | { type: 'overlay'; step: OverlayStep; problem: string | undefined }
  | { type: 'cut'; cut: boolean }
  | { type: 'address'; ip: string; to: string }
  | { type: 'stopped' }
  | { type: 'failed'; message: string };

/** All but the datapath, for which the kernel is asked. */
export function nodeOptions(config: ClusterConfig, node: NodeLayout): NodeOptions {
  const { network } = config;
  return {
    clusterName: config.name,
    nodeName: node.name,
    nodeIPs: node.ips,
    netns: `/run/netns/${node.netns}`,
    stateDir: nodeDir(config.name, node.name),
    imageDir: imageDir(),
    clusterDomain: config.domain,
    podCIDRs: node.podCIDRs,
    serviceCIDRs: network.serviceCIDRs,
    nodeCIDRs: network.nodeCIDRs,
    clusterPodCIDRs: network.podCIDRs,
    dnsIPs: dnsServiceIPs(config),
    dns: config.dns,
    dnsUpstreams: config.dns.upstreams.length > 0 ? config.dns.upstreams : machineResolvers(),
    mtu: network.mtu,
    vxlan: network.vxlan,
    ourFabric: true,
    ...(settleProxyMode(config).mode === 'ebpf' && {
      socketCgroup: podCgroupName(config.name, nodeDir(config.name, node.name)),
    }),
    overlay: network.overlay,
    segmentCIDRs: node.segmentCIDRs,
    routers: node.routers,
    nonMasqueradeCIDRs: network.nonMasqueradeCIDRs,
    addressRestSeconds: network.addressRestSeconds,
    // A config that an older version has stored says nothing of it.
    cutFlows: config.policies?.cutFlows ?? true,
    nodePortRange: network.nodePortRange,
    nodePortAddresses: network.nodePortAddresses,
    serviceCounters: network.serviceCounters,
    ...findRuntime(),
  };
}

/** Starts the thread, which loads its code while the machine's other cores do something else, and waits for `start`. */
export function launchNodeWorker(config: ClusterConfig, layout: NodeLayout): NodeWorker {
  let options = nodeOptions(config, layout);
  const ready = Promise.withResolvers<void>();
  let api: ApiServer | undefined;
  let stopping = false;
  let deaths = 0;
  /** Launches since the last agent that became ready. */
  let failures = 0;
  let agentEnd: MessagePort | undefined;
  let worker: Worker;
  let alive = false;
  let isCut = false;
  let staysDead = false;

  const launch = () => {
    const descriptors = createDescriptorTable();
    worker = new Worker(programFile('node-worker'), {
      name: layout.name,
      workerData: { options, descriptors },
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
      // Descriptors come and go through system calls of ours that Node knows nothing of: the thread lists them itself.
      trackUnmanagedFds: false,
    });
    worker.on('message', (message: FromAgent) => {
      if (message.type === 'failed') ready.reject(new Fault(`${layout.name}: ${message.message}`));
      if (message.type !== 'ready') return;
      failures = 0;
      ready.resolve();
    });
    worker.on('error', (error) => {
      log.error({ node: layout.name, err: error }, 'node agent died');
      deaths++;
      if (deaths === DEATHS_BEFORE_READY) ready.reject(new Fault(`the agent of ${layout.name} dies: ${error.message}`));
    });
    alive = true;
    worker.on('exit', () => {
      alive = false;
      agentEnd?.close();
      closeLeftOpen(descriptors);
      if (stopping) return;
      // One that comes back in a moment has what its kernel answers for still, and nobody has noticed.
      if (staysDead || failures > 0) release(layout);
      // One that cannot live is given longer and longer.
      if (!staysDead) setTimeout(relaunch, Math.min(RESTART_DELAY_MS * 2 ** failures++, LONGEST_DELAY_MS)).unref();
    });
  };
  const begin = () => {
    const channel = new MessageChannel();
    agentEnd = channel.port1;
    if (isCut) worker.postMessage({ type: 'cut', cut: true });
    const datapath = settleDatapath(config);
    worker.postMessage({ type: 'start', port: channel.port2, datapath }, [channel.port2]);
    api?.servePort(agentEnd);
  };
  const relaunch = () => {
    if (stopping) return;
    launch();
    begin();
  };
  launch();
  return {
    layout,
    ready: ready.promise,
    report: () => askReport(worker),
    start: begin,
    connect(server) {
      api = server;
      if (agentEnd) api.servePort(agentEnd);
    },
    async cutOff(cut) {
      isCut = cut;
      if (!alive) return;
      const pick = (m: FromAgent) => (m.type === 'cut' && m.cut === cut ? m : undefined);
      await ask(worker, { type: 'cut', cut }, pick, CUT_LIMIT_MS);
    },
    async changeOverlay(settings, step) {
      // A node that was stopped finds what is in force when it is started.
      if (stopping) return;
      await askOverlay(layout.name, worker, settings, step);
      // An agent that dies comes again with what is in force.
      if (step === 'finish') options = { ...options, overlay: settings };
    },
    moveAddress: (ip, to) => askAddress(worker, ip, to),
    async kill(stay) {
      staysDead = stay;
      if (!alive || (await exitsWithin(worker, { type: 'die' }, DEATH_LIMIT_MS))) return;
      throw new Fault(`the agent of ${layout.name} hangs`, { mend: 'it dies as soon as it hears of it' });
    },
    async stop(leave = false) {
      stopping = true;
      if (!alive || (await exitsWithin(worker, { type: 'stop', leave }, STOP_LIMIT_MS))) return true;
      log.warn({ node: layout.name }, 'the agent does not stop; ending it');
      if (await exitsWithin(worker, { type: 'die' }, DEATH_LIMIT_MS)) return true;
      log.error(
        { node: layout.name },
        'the thread of the agent hangs; it ends as soon as it hears of it, or with the daemon',
      );
      return false;
    },
  };
}

/** Tells the thread to end, and whether it does. Never terminate(): of a thread that is called back from outside of JavaScript that ends the whole process. */
function exitsWithin(worker: Worker, message: object, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const exited = () => give(true);
    const give = (ended: boolean) => {
      clearTimeout(limit);
      worker.off('exit', exited);
      resolve(ended);
    };
    const limit = setTimeout(give, limitMs, false);
    worker.once('exit', exited);
    worker.postMessage(message);
  });
}

function release({ name, netns }: NodeLayout): void {
  try {
    const addresses = releaseAddresses(netnsPath(netns));
    if (addresses.length > 0)
      log.warn({ node: name, addresses }, 'without its agent the node answers for no load balancer address');
  } catch (error) {
    log.error({ node: name, err: error }, 'the addresses of a node without an agent could not be released');
  }
}

/** Posts a question and resolves with the first answer that `pick` takes; undefined after the limit. */
function ask<T>(
  worker: Worker,
  question: object,
  pick: (answer: FromAgent) => T | undefined,
  limitMs: number,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    const give = (value: T | undefined) => {
      clearTimeout(limit);
      worker.off('message', listen);
      resolve(value);
    };
    const listen = (message: FromAgent) => {
      const picked = pick(message);
      if (picked !== undefined) give(picked);
    };
    const limit = setTimeout(give, limitMs, undefined);
    worker.on('message', listen);
    worker.postMessage(question);
  });
}

async function askReport(worker: Worker): Promise<AgentReport | undefined> {
  const answer = await ask(worker, { type: 'report' }, (m) => (m.type === 'report' ? m : undefined), REPORT_LIMIT_MS);
  return answer?.report;
}

async function askOverlay(node: string, worker: Worker, settings: OverlaySettings, step: OverlayStep): Promise<void> {
  const question = { type: 'overlay', settings, step };
  const pick = (m: FromAgent) => (m.type === 'overlay' && m.step === step ? m : undefined);
  const answer = await ask(worker, question, pick, OVERLAY_LIMIT_MS);
  if (!answer) throw new Fault(`${node} does not answer`);
  if (answer.problem !== undefined) throw new Fault(`${node}: ${answer.problem}`);
}

async function askAddress(worker: Worker, ip: string, to: string | undefined): Promise<string | undefined> {
  const pick = (m: FromAgent) => (m.type === 'address' && m.ip === ip ? m : undefined);
  const answer = await ask(worker, { type: 'address', ip, to }, pick, REPORT_LIMIT_MS);
  return answer?.to || undefined;
}
