/** Variables of real nodes over loopback; what each rule makes of contributions has tests of its own. */
import { expect, test } from 'vitest';
import type { VariableNotice } from '../../src/protocols/variables/variables.ts';
import { beside, eventsOf, failure, meet, node } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';

const temperature = { min: 0, max: 2, default: 0.7, resolve: 'median' } as const;

test('what nodes contribute is one value for all, and who leaves takes its contribution along', async () => {
  const nodes = [await node()];
  nodes.push(await beside(nodes), await beside(nodes));
  await meet(...nodes);
  const variables = nodes.map((mesh) => mesh.variables.float('temperature', temperature));
  for (const [at, variable] of variables.entries()) await variable.set([0.2, 0.4, 1.9][at] as number);
  for (const variable of variables) await pollUntil(() => variable.contributions().length === 3);
  expect(variables.map(({ value }) => value)).toEqual([0.4, 0.4, 0.4]);
  await nodes[2]?.stop();
  await pollUntil(() => variables[0]?.contributions().length === 2);
  expect(variables[0]?.value).toBeCloseTo(variables[1]?.value ?? 0);
  expect(nodes[0]?.status().variables).toMatchObject([{ name: 'temperature', contributions: 2 }]);
});

test('who defines a name differently later is told what differs', async () => {
  const one = await node();
  const two = await beside([one]);
  one.variables.float('temperature', temperature);
  const differently = { ...temperature, max: 1 };
  let error: Error | undefined;
  // Until it has heard of the first, a second may think that it is alone.
  await pollUntil(() => {
    try {
      two.variables.float('temperature', differently)[Symbol.dispose]();
      return false;
    } catch (thrown) {
      error = thrown as Error;
      return true;
    }
  });
  expect(error).toMatchObject({ code: 'DEFINITION_CONFLICT' });
  expect(error?.message).toContain('max');
});

test('of two that define a name differently at once, the later is told, and counts nowhere', async () => {
  const one = await node();
  const two = await node();
  const conflicts = [eventsOf(one, 'definitionConflict'), eventsOf(two, 'definitionConflict')];
  const first = one.variables.float('temperature', temperature);
  // Of two in one millisecond the smaller node would be first.
  const definedAt = Date.now();
  await pollUntil(() => Date.now() > definedAt);
  const second = two.variables.float('temperature', { ...temperature, max: 1 });
  await second.set(0.1);
  // Two meshes of one name meet.
  const between = await beside([one, two]);
  await meet(one, two, between);
  await pollUntil(() => conflicts.flat().length > 0);
  expect(conflicts.map((events) => events.map(({ variable }) => variable))).toEqual([[], ['temperature']]);
  expect(second.conflict).toMatchObject({ code: 'DEFINITION_CONFLICT' });
  await failure(second.set(0.2), 'DEFINITION_CONFLICT');
  await pollUntil(() => first.explain().ignored.some(({ node: who }) => who === two.id));
  expect(first.value).toBe(0.7);
});

test('agents anywhere hear of each change in order, and acknowledge what is agreed on', async () => {
  const validator = await node({ coordination: { validators: ['self'], durable: false } });
  const worker = await beside([validator]);
  await meet(validator, worker);
  const heard: VariableNotice<number>[] = [];
  const variableChanged = (notice: VariableNotice<number>): void => void heard.push(notice);
  await worker.registry.register('writer', { variableChanged }, { capabilities: ['llm'] });
  await pollUntil(() => validator.registry.lookup('writer') !== undefined);
  // Only the validator defines it, so it tells the agent of the other node.
  const variable = validator.variables.float('temperature', { ...temperature, affects: { capabilities: 'llm' } });
  for (const value of [0.1, 0.2, 0.3]) await variable.set(value);
  await pollUntil(() => heard.at(-1)?.value === 0.3);
  const versions = heard.map(({ version }) => version);
  expect([...versions].sort((a, b) => a - b)).toEqual(versions);
  const agreed = await variable.coordinate({ consistency: 'strong', value: 1.5 });
  expect(agreed).toMatchObject({ value: 1.5, acknowledged: ['writer'], unacknowledged: [] });
  expect(heard.at(-1)).toMatchObject({ value: 1.5, agreed: true });
  const other = worker.variables.float('temperature', { ...temperature, affects: { capabilities: 'llm' } });
  await pollUntil(() => other.value === 1.5);
  await other.set(0.5);
  await pollUntil(() => variable.value === 0.5);
});
