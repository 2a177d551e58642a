/** Variables as an application sees them, as far as agents and validators are concerned. */
import { describe, expect, test } from 'vitest';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import type { Variable } from '../../src/protocols/variables/variables.ts';
import { beside, directory, failure, meet, node, quiet } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';
import { toldAgent } from './told-agent.ts';

const options = { min: 0, max: 2, default: 0.7, affects: { capabilities: 'llm' } } as const;

test('in one process: agents hear each change, and who coordinates knows that they did', async () => {
  await using mesh = await createMesh({ logger: quiet });
  const told = await toldAgent(mesh, 'a');
  const temperature = mesh.variables.float('temperature', options);
  for (const value of [0.8, 0.9, 1]) await temperature.set(value);
  await pollUntil(() => told.at(-1)?.value === 1);
  expect(told.map(({ value }) => value).slice(-3)).toEqual([0.8, 0.9, 1]);
  const agreed = await temperature.coordinate({ consistency: 'strong', value: 0.5 });
  expect(agreed).toMatchObject({ value: 0.5, acknowledged: ['a'], unacknowledged: [] });
  expect(told.at(-1)).toMatchObject({ value: 0.5, agreed: true });
  await failure(temperature.coordinate({ consistency: 'strong', ifVersion: agreed.version + 1 }), 'CONFLICT');
  const strong = mesh.variables.integer('limit', { min: 0, max: 9, default: 1, sync: 'strong', affects: ['a'] });
  const write = await strong.set(5, { ifVersion: 0 });
  expect(write).toMatchObject({ value: 5, acknowledged: ['a'] });
  expect(strong.value).toBe(5);
  expect(told.at(-1)).toMatchObject({ variable: 'limit', value: 5, agreed: true });
  const ghostly = mesh.variables.float('haunted', { ...options, affects: ['a', 'ghost'] });
  expect(await ghostly.coordinate({ consistency: 'strong', value: 1 })).toMatchObject({
    acknowledged: ['a'],
    unacknowledged: [{ agent: 'ghost', reason: 'no agent of that name is registered' }],
  });
});

describe('in a cluster', () => {
  test('agents of nodes with and without the definition hear the changes of all, also when their teller dies', async () => {
    const first = await node();
    const second = await beside([first]);
    const third = await beside([first, second]);
    await meet(first, second, third);
    const elsewhere = await toldAgent(third, 'elsewhere');
    const here = await toldAgent(second, 'here');
    await pollUntil(() => [first, second].every((mesh) => mesh.registry.count() === 2));
    const resolve = 'lastWriter';
    const one = first.variables.float('t', { ...options, resolve });
    await pollUntil(() => first.registry.count() === 2);
    const two = second.variables.float('t', { ...options, resolve });
    await one.set(1);
    await pollUntil(() => two.value === 1);
    await two.set(1.5);
    await pollUntil(() => one.value === 1.5);
    for (const told of [elsewhere, here]) {
      await pollUntil(() => told.at(-1)?.value === 1.5);
      expect(new Set(told.map(({ value }) => value))).toEqual(new Set([1, 1.5]));
    }
    await first.stop();
    await pollUntil(() => two.contributions().length === 1);
    await two.set(1.8);
    for (const told of [elsewhere, here]) await pollUntil(() => told.at(-1)?.value === 1.8);
  });

  test('strong: one value through four validators, acknowledged by every agent, or the list of who did not', async () => {
    const directories = await Promise.all([0, 1, 2, 3].map(() => directory()));
    const ids = await Promise.all(directories.map((path) => ensureNodeKey(path)));
    const meshes: Mesh[] = [];
    for (const dataDir of directories) {
      meshes.push(await beside(meshes, { name: 'agree', dataDir, coordination: { validators: ids, f: 1 } }));
    }
    meshes.push(await beside(meshes, { name: 'agree' }));
    await meet(...meshes);
    const told = await Promise.all(meshes.map((mesh, index) => toldAgent(mesh, `agent-${index}`)));
    await pollUntil(() => meshes.every((mesh) => mesh.registry.count() === meshes.length));
    // Two of them do not define it: their agents are told by others.
    const variables = meshes.slice(2).map((mesh) => mesh.variables.float('t', { ...options, sync: 'strong' }));
    const [one, two, three] = variables as [Variable<number>, Variable<number>, Variable<number>];
    const everybody = meshes.map((_, index) => `agent-${index}`);
    const first = await three.set(1, { ifVersion: 0 });
    expect(first).toMatchObject({ value: 1, acknowledged: everybody, unacknowledged: [] });
    for (const notices of told) expect(notices.at(-1)).toMatchObject({ value: 1, agreed: true });
    await pollUntil(() => variables.every(({ value }) => value === 1));
    const results = await Promise.allSettled([
      one.set(1.2, { ifVersion: first.version }),
      two.set(1.4, { ifVersion: first.version }),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await pollUntil(() => new Set(variables.map(({ value }) => value)).size === 1 && one.value !== 1);

    const awake = Promise.withResolvers<void>();
    await toldAgent(meshes[0] as Mesh, 'slow', () => awake.promise);
    await pollUntil(() => meshes.every((mesh) => mesh.registry.lookup('slow') !== undefined));
    const late = await three.set(0.3, { timeoutMs: 2_000 });
    expect(late.acknowledged).toEqual(everybody);
    expect(late.unacknowledged.map(({ agent: id }) => id)).toEqual(['slow']);
    await pollUntil(() => variables.every(({ value }) => value === 0.3));
    awake.resolve();
  });
});
