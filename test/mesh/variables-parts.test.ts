/** Telling affected agents, and agreeing, over real nodes: libp2p on loopback, validators with logs on disk. */
import { expect, test } from 'vitest';
import { realClock, seededRng } from '../../src/clock.ts';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { HybridClock } from '../../src/hlc.ts';
import type { Mesh } from '../../src/mesh.ts';
import type { NodeId } from '../../src/node-id.ts';
import { AgentAudiences } from '../../src/protocols/variables/affected/agent-audiences.ts';
import type { Audience, News } from '../../src/protocols/variables/affected/audiences.ts';
import type { Agreed } from '../../src/protocols/variables/agreed/agreements.ts';
import { MapAgreements } from '../../src/protocols/variables/agreed/map-agreements.ts';
import { beside, directory, meet, node } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';
import { toldAgent } from './told-agent.ts';

const rethrow = (error: unknown): never => {
  throw error;
};

/** What a node that defines the variable does. */
class Definer {
  readonly mesh: Mesh;
  readonly heard: Agreed[] = [];
  readonly agreements: MapAgreements;
  readonly audience: Audience;
  readonly hlc = new HybridClock(() => realClock.wallNow());
  present: News = { value: 0, agreed: false };

  constructor(mesh: Mesh, definers: ReadonlySet<NodeId>) {
    this.mesh = mesh;
    const live = (id: NodeId): boolean => ['alive', 'suspect'].includes(mesh.membership.get(id)?.state ?? '');
    this.audience = new AgentAudiences({
      self: mesh.id,
      registry: mesh.registry,
      messaging: mesh,
      clock: realClock,
      rng: seededRng(1),
      stamp: () => this.hlc.now(),
      onError: rethrow,
    }).open({
      name: 'v',
      affects: { capabilities: 'llm' },
      definers: () => [...definers].filter(live),
      present: () => this.present,
    });
    mesh.membership.on('change', () => this.audience.definersChanged());
    const { coordination } = mesh;
    this.agreements = new MapAgreements({ coordination, clock: realClock, hlc: this.hlc, onError: rethrow });
  }

  tell(value: number): void {
    this.present = { value, agreed: false };
    this.audience.tell(this.present);
  }

  follow(): void {
    this.agreements.follow('v', {
      accepts: ({ value }) => typeof value === 'number',
      onAgreed: (agreed) => void (agreed !== undefined && this.heard.push(agreed)),
    });
  }

  stop(): void {
    this.audience.stop();
    this.agreements.stop();
  }
}

test('agents on every node are told by one of them, and by the next when that one leaves', async () => {
  const first = await node();
  const second = await beside([first]);
  const third = await beside([first, second]);
  await meet(first, second, third);
  const told = await toldAgent(third, 'elsewhere');
  const beside2 = await toldAgent(second, 'beside');
  const known = (mesh: Mesh): boolean => mesh.registry.count() === 2;
  await pollUntil(() => [first, second, third].every(known));
  const ids = new Set([first.id, second.id]);
  const definers = [new Definer(first, ids), new Definer(second, ids)];
  for (const value of [1, 2, 3, 4, 5]) for (const definer of definers) definer.tell(value);
  await pollUntil(() => told.length >= 6 && beside2.length >= 6);
  for (const notices of [told, beside2]) {
    expect(notices.map(({ value }) => value)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(new Set(notices.map(({ version }) => version)).size).toBe(6);
  }

  const [teller, other] = first.id < second.id ? definers : definers.toReversed();
  teller?.stop();
  await teller?.mesh.stop();
  await pollUntil(() => told.at(-1)?.value === 5 && told.length >= 7);
  other?.tell(6);
  await pollUntil(() => told.at(-1)?.value === 6);

  let wakeUp: () => void = () => undefined;
  await toldAgent(third, 'slow', () => new Promise<void>((resolve) => (wakeUp = resolve)));
  await pollUntil(() => other?.mesh.registry.lookup('slow') !== undefined);
  const asked = await other?.audience.tellAndWait({ value: 7, agreed: false }, { timeoutMs: 500 });
  expect(asked?.acknowledged).toContain('elsewhere');
  expect(asked?.unacknowledged.map(({ agent: id }) => id)).toEqual(['slow']);
  wakeUp();
  other?.stop();
});

test('four validators put proposals in order; who proposed has every agent told when it is done', async () => {
  const directories = await Promise.all([0, 1, 2, 3].map(() => directory()));
  const validatorIds = await Promise.all(directories.map((path) => ensureNodeKey(path)));
  const meshes: Mesh[] = [];
  for (const dataDir of directories) {
    const coordination = { validators: validatorIds, f: 1 };
    meshes.push(await beside(meshes, { name: 'agree', dataDir, coordination }));
  }
  meshes.push(await beside(meshes, { name: 'agree' }));
  await meet(...meshes);
  const notices = await Promise.all(meshes.map((mesh, index) => toldAgent(mesh, `agent-${index}`)));
  await pollUntil(() => meshes.every((mesh) => mesh.registry.count() === meshes.length));
  const ids = new Set(meshes.map(({ id }) => id));
  const definers = meshes.map((mesh) => new Definer(mesh, ids));
  for (const definer of definers) definer.follow();
  const last = definers.at(-1) as Definer;

  const at = last.hlc.now();
  const definition = { version: 1, digest: 'd' };
  const { version } = await last.agreements.propose('v', { value: 1, definition, at, ifVersion: 0 });
  expect(last.heard).toEqual([{ value: 1, definition, at, version }]);
  const result = await last.audience.tellAndWait({ value: 1, agreed: true, at }, { timeoutMs: 30_000 });
  expect(result).toEqual({ acknowledged: meshes.map((_, index) => `agent-${index}`), unacknowledged: [] });
  for (const told of notices) expect(told.at(-1)).toMatchObject({ value: 1, agreed: true });
  await pollUntil(() => definers.every(({ heard }) => heard.length === 1));
  for (const { heard } of definers) expect(heard).toEqual(last.heard);

  const results = await Promise.allSettled(
    definers.map(({ agreements, hlc }, value) =>
      agreements.propose('v', { value, definition, at: hlc.now(), ifVersion: version }),
    ),
  );
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  await pollUntil(() => definers.every(({ heard }) => heard.length === 2));
  for (const { heard } of definers) expect(heard).toEqual(last.heard);
  for (const definer of definers) definer.stop();
});
