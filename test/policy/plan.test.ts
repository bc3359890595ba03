// The plan for a node's kernel, walked by packets: it lets pass what the engine lets pass, and counts the rule that the engine names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Flow, judgeSide, type Ruling, type Side } from '../../src/plan/policy/judge.ts';
import { ruleText } from '../../src/plan/policy/rules.ts';
import { isPlain } from '../../src/plan/policy/tiers.ts';
import { Ruleset } from '../../src/trace/packet-walk.ts';
import { NodeUnderTest } from './node.ts';
import { step } from './steps.ts';
import { flow, world } from './worlds.ts';

const RUNS = Number(process.env['PODWIRE_POLICY_RUNS'] ?? 500);
/** What passes where the node forwards: traffic between its pods and others, not its own. */
function checkFlows(node: NodeUnderTest, flows: readonly Flow[]): void {
  const { engine } = node;
  const here = (ip: string) => engine.podAt(ip)?.node === 'n1';
  const rulesets = { 4: new Ruleset(node.items(4)), 6: new Ruleset(node.items(6)) };
  for (const each of flows) {
    if (engine.nodeIPs('n1').includes(each.from) || engine.nodeIPs('n1').includes(each.to)) continue;
    const family = each.from.includes(':') ? 6 : 4;
    const { verdict, found } = rulesets[family].walk('forward', node.packet(family, each));
    const sides = [
      ...(here(each.from) ? [judgeSide(engine, 'egress', each)] : []),
      ...(here(each.to) ? [judgeSide(engine, 'ingress', each)] : []),
    ];
    const allowed = sides.every((side) => side.allowed);
    assert.equal(verdict, allowed ? 'accept' : 'drop', `${JSON.stringify(each)}: ${JSON.stringify(found)}`);
    const counted = found.filter(({ set }) => /^(in|e)gress-(any|protocols|ports|ranges|tier-.*)$/.test(set));
    const refusedFirst = sides[0]?.direction === 'egress' && !sides[0].allowed;
    const judged = (refusedFirst ? sides.slice(0, 1) : sides).filter(isCounted);
    assert.equal(counted.length, judged.length, `${JSON.stringify(each)}: ${JSON.stringify(counted)}`);
    for (const [i, side] of judged.entries()) checkName(side, counted[i]!.comment!);
  }
}

const FREE = ['no pod', 'itself', 'own node'];

/** What a union does not allow is counted by pod alone; what several tiers say is counted whatever it is. */
function isCounted(side: Side): boolean {
  if (FREE.includes(side.because)) return false;
  if (!isPlain(side.pod!)) return side.because !== 'not isolated' || side.staged !== undefined;
  return side.because === 'rule';
}

/** The element names the rule that decides, or the policies that isolate, and what would be with what is staged. */
function checkName(side: Side, comment: string): void {
  const text = (ruling: Ruling | Side) => {
    if (ruling.because === 'rule') return ruleText(ruling.matches[0].rule);
    return ruling.because === 'no rule' ? `isolated by ${ruling.isolatedBy[0]!.id}` : 'no policy decides';
  };
  const wouldDeny = side.allowed && side.staged?.allowed === false;
  assert.equal(comment.startsWith('staged: '), wouldDeny, comment);
  // nft cuts long comments.
  const start = (wouldDeny ? `staged: ${text(side.staged!)}` : text(side)).replaceAll('"', "'");
  const found = comment.replace(/^(staged: )?Pod\/\S+ (?=isolated)/, '$1').replace(/Pod\/\S+: /, '');
  assert.ok(found.startsWith(start) || start.startsWith(found), `${comment} / ${start}`);
}

test('any cluster, any flow: the planned rules decide as the engine does, and count the rule that it names', () => {
  fc.assert(
    fc.property(world, fc.array(flow, { minLength: 20, maxLength: 60 }), (cluster, flows) => {
      checkFlows(new NodeUnderTest(cluster), flows as Flow[]);
    }),
    { numRuns: RUNS },
  );
});

test('after any changes the plan is what it would be had it been made of the end alone', () => {
  fc.assert(
    fc.property(
      world,
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.array(flow, { minLength: 30 }),
      (cluster, steps, flows) => {
        const node = new NodeUnderTest({ ...cluster, policies: [] });
        for (const change of steps) node.take(change);
        const items = ({ desired }: NodeUnderTest) => [...desired.items].sort(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual(items(node), items(new NodeUnderTest(node.cluster)));
        checkFlows(node, flows as Flow[]);
      },
    ),
    { numRuns: RUNS },
  );
});
