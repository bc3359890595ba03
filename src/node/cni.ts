// Room node: the agent's side of the CNI socket: containers of other runtimes on this node's pod network.
import { existsSync } from 'node:fs';
import { nodeDataDir } from '../cni/attachment.ts';
import { nodeDirIn, nodeSocket } from '../cni/call.ts';
import type { Outcome } from '../cni/run.ts';
import { type Answerer, type Call, serveCalls } from '../cni/serve.ts';
import type { CniParts, CniVerbs } from './cni-verbs.ts';

export interface NodeCni {
  close(): void;
}

/** Takes up what an agent before it had attached, then takes calls. The verbs are loaded when there is something for them to do. */
export async function startNodeCni(parts: CniParts): Promise<NodeCni> {
  const { stateDir } = parts.options;
  const answerer = new NodeAnswerer(parts);
  if (existsSync(nodeDataDir(stateDir))) await answerer.verbs();
  const server = serveCalls(nodeSocket(stateDir), answerer);
  return {
    close() {
      server.close();
      answerer.close();
    },
  };
}

class NodeAnswerer implements Answerer {
  readonly #parts: CniParts;
  #verbs: Promise<CniVerbs> | undefined;

  constructor(parts: CniParts) {
    this.#parts = parts;
  }

  verbs(): Promise<CniVerbs> {
    this.#verbs ??= import('./cni-verbs.ts').then(({ openVerbs }) => openVerbs(this.#parts));
    return this.#verbs;
  }

  /** Networks of other nodes, and those of the plugin alone, are not ours. */
  takes({ role, stdin }: Call): boolean {
    return role === 'interface' && nodeDirIn(stdin) === this.#parts.options.stateDir;
  }

  async answer(call: Call): Promise<Outcome> {
    return (await this.verbs()).answer(call);
  }

  close(): void {
    void this.#verbs?.then((verbs) => verbs.close());
  }
}
