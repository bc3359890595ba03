// Recipes as packet tables: three namespaces of three pods, two ports, TCP and UDP, IPv4 and IPv6, every packet a real one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { addressesOf, Field, OUTSIDE_IPS, PODS, PORTS, type PodName } from './field.ts';
import type { Question } from './peer.ts';
import { type Case, RECIPES } from './recipes.ts';
import { TIER_RECIPES } from './recipes-tiers.ts';

const missing = ['ip', 'nft'].filter((tool) => spawnSync(tool, ['-V']).error !== undefined);
const skip =
  process.getuid?.() !== 0
    ? 'needs root for network namespaces'
    : missing.length > 0
      ? `needs ${missing.join(', ')}`
      : false;

/** An answer that is due may take long on a busy machine; one that must not come is not waited for long. */
const PATIENCE = { due: 30_000, forbidden: 250 };

describe('recipes', { skip }, () => {
  let field: Field;
  before(async () => {
    field = await Field.create();
  });
  after(async () => {
    await field?.[Symbol.asyncDispose]();
  });

  for (const { name, policies, objects = [], allows, outside } of [...RECIPES, ...TIER_RECIPES]) {
    test(name, async () => {
      field.clear();
      field.apply(...policies);
      for (const object of objects) field.put(object);
      await field.planned();
      const wrong = await Promise.all(PODS.map((from) => surprises(from, allows)));
      assert.deepEqual(wrong.flat(), []);
      if (!outside) return;
      const questions = OUTSIDE_IPS.map((host, i) => question(host, 80, 'TCP', outside[i]!));
      assert.deepEqual(await field.ask('x/a', questions), outside, 'x/a to the outside');
    });
  }

  function question(host: string, port: number, protocol: 'TCP' | 'UDP', due: boolean): Question {
    return { host, port, protocol, patience: due ? PATIENCE.due : PATIENCE.forbidden };
  }

  async function surprises(from: PodName, allows: (flow: Case) => boolean): Promise<string[]> {
    const cases = PODS.flatMap((to) =>
      addressesOf(to).flatMap((host) =>
        PORTS.flatMap((port) =>
          (['TCP', 'UDP'] as const).map((protocol) => {
            const due = to === from || allows({ from, to, port, protocol });
            return { to, host, due, question: question(host, port, protocol, due) };
          }),
        ),
      ),
    );
    const answers = await field.ask(
      from,
      cases.map((each) => each.question),
    );
    return cases.flatMap(({ to, host, due, question: { port, protocol } }, i) =>
      answers[i] === due ? [] : [`${from} -> ${to} ${host} ${protocol} ${port}: ${due ? 'refused' : 'passed'}`],
    );
  }
});
