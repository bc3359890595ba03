// The election on a simulated segment: who claims when, and that nobody answers beside another.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeBeat } from './beat.ts';
import { Election, type Wanted } from './election.ts';
import type { Member } from './peers.ts';
import { bestNode } from './rendezvous.ts';

const VIP = '172.30.0.200';
const ROUTER = '172.30.0.2';
const TICK = 25;

interface SimNode {
  readonly name: string;
  readonly ip: string;
  election: Election;
  /** What its kernel answers for: outlives its agent. */
  readonly kernel: Set<string>;
  alive: boolean;
  plugged: boolean;
}

/** Frames arrive at once, ticks come in turn; a node can lose its plug, or its agent. */
class Segment {
  now = 1000;
  readonly nodes: SimNode[];
  readonly claims: string[] = [];
  members: Member[];
  wanted = new Map<string, Wanted>();

  constructor(count: number) {
    this.members = Array.from({ length: count }, (_, i) => ({
      name: `node-${i + 1}`,
      ip: `172.30.0.${11 + i}`,
      ready: true,
      excluded: false,
    }));
    this.nodes = this.members.map(({ name, ip }) => {
      const node = { name, ip, kernel: new Set<string>(), alive: true, plugged: true } as SimNode;
      node.election = this.#agent(node);
      return node;
    });
  }

  #agent(node: SimNode): Election {
    const others = () => (node.plugged ? this.nodes.filter((other) => other !== node && other.plugged) : []);
    return new Election(
      { cluster: 'test', node: node.name, router: ROUTER },
      {
        claim: (ip) => {
          node.kernel.add(ip);
          this.claims.push(node.name);
          return true;
        },
        withdraw: (ip) => void node.kernel.delete(ip),
        announce: () => {},
        note: () => {},
        ask: (ip) => {
          const owner = others().find((other) => other.ip === ip || other.kernel.has(ip));
          const found = ip === ROUTER ? node.plugged : owner !== undefined;
          if (found && node.alive) node.election.answered(ip, owner?.name ?? 'router', this.now);
        },
        send: (beat) => {
          const bytes = encodeBeat(beat);
          for (const other of others()) if (other.alive) other.election.receive(bytes, node.ip, this.now);
        },
      },
    );
  }

  want(nodes?: readonly string[]): void {
    const wanted = { ip: VIP, services: ['default/web'], ...(nodes && { nodes: new Set(nodes) }) };
    this.wanted = new Map([[VIP, wanted]]);
    this.tell();
  }

  tell(): void {
    for (const node of this.nodes) if (node.alive) this.#inform(node);
  }

  #inform({ election }: SimNode): void {
    election.setMembers(this.members, this.now);
    election.setWanted(this.wanted, this.now);
  }

  restart(node: SimNode): void {
    node.alive = true;
    node.election = this.#agent(node);
    node.election.adopt(node.kernel, this.now);
    this.#inform(node);
  }

  run(milliseconds: number, check?: () => void): void {
    for (const end = this.now + milliseconds; this.now < end; this.now += TICK) {
      for (const node of this.nodes) if (node.alive) node.election.tick(this.now);
      check?.();
    }
  }

  /** Nodes that answer somebody who is on the segment. */
  answering(): SimNode[] {
    return this.nodes.filter(({ kernel, plugged }) => plugged && kernel.has(VIP));
  }

  /** Runs until exactly this many answer; returns after how many milliseconds. */
  until(count: number, limit = 5000): number {
    const start = this.now;
    while (this.answering().length !== count) {
      assert.ok(this.now - start < limit, `${this.answering().length} answer, not ${count}`);
      this.run(TICK);
    }
    return this.now - start;
  }
}

const notTwo = (segment: Segment) => () => assert.ok(segment.answering().length <= 1, 'two nodes answer');

test('one of three claims, the one that the hash names, and it stays', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(2000, notTwo(segment));
  assert.deepEqual(segment.claims, [bestNode(['node-1', 'node-2', 'node-3'], VIP)]);
});

test('a node that is cut off gives the address up by itself, another has it within a second, and healing moves nothing', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(500);
  const [first] = segment.answering();
  first!.plugged = false;
  assert.ok(segment.until(1, 2000) <= 900);
  segment.run(500);
  assert.equal(first!.kernel.size, 0);
  first!.plugged = true;
  const [second] = segment.answering();
  segment.run(3000, notTwo(segment));
  assert.deepEqual(segment.answering(), [second]);
});

test('of two nodes the one that still sees the router goes on', () => {
  const segment = new Segment(2);
  segment.want();
  segment.until(1);
  segment.run(300);
  const [first] = segment.answering();
  first!.plugged = false;
  segment.until(1, 1000);
  segment.run(500);
  assert.equal(first!.kernel.size, 0);
});

test('an agent that dies leaves its kernel answering: nobody takes its place, and its next life goes on', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(500);
  const [holder] = segment.answering();
  holder!.alive = false;
  segment.run(3000, () => assert.deepEqual(segment.answering(), [holder]));
  segment.restart(holder!);
  segment.run(2000, () => assert.deepEqual(segment.answering(), [holder]));
  assert.equal(segment.claims.length, 1);
});

test('all agents die and come again: each goes on with what its kernel has', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(500);
  const [holder] = segment.answering();
  for (const node of segment.nodes) segment.restart(node);
  segment.run(2000, () => assert.deepEqual(segment.answering(), [holder]));
});

test('a node that is moved away from gives the address to the next without asking the wire', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(500);
  const [holder] = segment.answering();
  const to = holder!.election.move(VIP, undefined, segment.now);
  assert.deepEqual(
    segment.answering().map(({ name }) => name),
    [to],
  );
  segment.run(2000, notTwo(segment));
  const [next] = segment.answering();
  assert.equal(next!.election.move(VIP, holder!.name, segment.now), holder!.name);
  assert.deepEqual(segment.answering(), [holder]);
  assert.equal(holder!.election.move(VIP, 'node-9', segment.now), undefined);
});

test('externalTrafficPolicy Local: only nodes with endpoints; excluded and unready nodes give up', () => {
  const segment = new Segment(3);
  segment.want(['node-2']);
  segment.until(1);
  assert.equal(segment.answering()[0]!.name, 'node-2');
  segment.want(['node-3']);
  segment.until(1);
  segment.run(200, notTwo(segment));
  assert.equal(segment.answering()[0]!.name, 'node-3');
  segment.want([]);
  segment.until(0);
  segment.want();
  segment.until(1);
  const [holder] = segment.answering();
  segment.members = segment.members.map((member) => ({ ...member, excluded: member.name === holder!.name }));
  segment.tell();
  segment.run(500, notTwo(segment));
  assert.notEqual(segment.answering()[0]!.name, holder!.name);
  // Where nobody is Ready it says nothing.
  segment.members = segment.members.map((member) => ({ ...member, ready: false, excluded: false }));
  segment.tell();
  segment.run(1000, notTwo(segment));
  assert.equal(segment.answering().length, 1);
});

test('a node that leaves gives everything away, and does not count any more', () => {
  const segment = new Segment(3);
  segment.want();
  segment.until(1);
  segment.run(300);
  for (let left = 0; left < 2; left++) {
    const [holder] = segment.answering();
    holder!.election.leave(segment.now);
    holder!.alive = false;
    holder!.plugged = false;
    segment.until(1, 1000);
    segment.run(1000, notTwo(segment));
  }
});

test('no Service, no claim; a stranger who answers is respected', () => {
  const segment = new Segment(3);
  const [stranger] = segment.nodes;
  stranger!.kernel.add(VIP);
  stranger!.alive = false;
  segment.want();
  segment.run(1000);
  assert.deepEqual(segment.claims, []);
  stranger!.kernel.clear();
  segment.until(1);
  segment.wanted = new Map();
  segment.tell();
  assert.equal(segment.answering().length, 0);
});

test('whatever happens: never two who see each other for longer than a beat, and one in the end', () => {
  const step = fc.record({
    node: fc.nat(3),
    what: fc.constantFrom('unplug', 'plug', 'kill', 'restart', 'move', 'wait'),
    after: fc.nat(40).map((n) => n * TICK),
  });
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 4 }), fc.array(step, { maxLength: 12 }), (count, steps) => {
      const segment = new Segment(count);
      segment.want();
      let together = 0;
      // A node whose agent died while it was cut off comes back answering until its agent does.
      const check = () => {
        const agents = segment.answering().filter(({ alive }) => alive);
        together = agents.length > 1 ? together + 1 : 0;
        assert.ok(together * TICK <= 150, 'two agents hold it for longer than a beat');
      };
      for (const { node: index, what, after } of steps) {
        const node = segment.nodes[index % count]!;
        if (what === 'unplug') node.plugged = false;
        if (what === 'plug') node.plugged = true;
        if (what === 'kill') node.alive = false;
        if (what === 'restart' && !node.alive) segment.restart(node);
        if (what === 'move' && node.alive) node.election.move(VIP, undefined, segment.now);
        segment.run(after, check);
      }
      for (const node of segment.nodes) {
        node.plugged = true;
        if (!node.alive) segment.restart(node);
      }
      segment.run(3000, check);
      assert.equal(segment.answering().length, 1);
    }),
    { numRuns: 100 },
  );
});
