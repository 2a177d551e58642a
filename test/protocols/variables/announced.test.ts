/** What live nodes announce, as one node lists it: honest announcements, contradictions, and garbage. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HybridClock } from '../../../src/hlc.ts';
import { type Announcement, Announcements } from '../../../src/protocols/variables/announced.ts';
import { writeDefinition } from '../../../src/protocols/variables/entries.ts';
import type { Value } from '../../../src/value.ts';
import { Fleet } from '../../simulation/variables/fleet.ts';

const temperature = { min: 0, max: 2, default: 0.7, unit: '°C' };
const facts = { kind: 'boolean', scope: 'cluster', sync: 'eventual', rule: 'majority', maxWeight: 1, default: false };

async function fleetOf(...zones: string[]): Promise<Fleet> {
  const fleet = new Fleet({ seed: 1 });
  for (const zone of zones) fleet.join(zone);
  await fleet.run(100);
  return fleet;
}

describe('announced variables', () => {
  it('are those of all live nodes, with their terms and who defines them', async () => {
    const fleet = await fleetOf('a', 'a', 'a');
    const [one, two, three] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0], Fleet['nodes'][0]];
    one.variables.float('temperature', temperature);
    two.variables.float('temperature', temperature);
    two.variables.choice('model', { choices: ['fast', 'good'], default: 'fast' });
    two.variables.boolean('alone', { scope: 'node' });
    await fleet.run(100);
    expect(three.variables.announced()).toEqual([
      expect.objectContaining({ name: 'model', kind: 'choice', rule: 'majority', here: undefined }),
      expect.objectContaining({
        name: 'temperature',
        terms: expect.objectContaining({ min: 0, max: 2, unit: '°C' }),
        definedBy: [one.shared.self, two.shared.self],
        conflicts: [],
        obstacle: undefined,
      }),
    ]);
    expect(two.variables.announced().map(({ here }) => here)).toEqual(['defined', 'defined']);
    fleet.world.kill(two.shared);
    await fleet.run(1_000);
    expect(three.variables.announced()).toMatchObject([{ name: 'temperature', definedBy: [one.shared.self] }]);
  });

  it('name who contradicts the definition that stands, and where', async () => {
    const fleet = await fleetOf('a', 'a', 'a');
    const [one, two, three] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0], Fleet['nodes'][0]];
    one.variables.float('temperature', temperature);
    // Both at once, so neither has heard of the other.
    two.variables.float('temperature', { ...temperature, max: 5 });
    await fleet.run(100);
    for (const { variables } of fleet.nodes) {
      const [row] = variables.announced();
      expect(row?.definedBy).toHaveLength(1);
      const [standing, other] = row?.definedBy[0] === one.shared.self ? [one, two] : [two, one];
      expect(row?.definedBy).toEqual([standing.shared.self]);
      const [stands, differs] = standing === one ? ['2', '5'] : ['5', '2'];
      expect(row?.conflicts).toEqual([{ node: other.shared.self, difference: [{ field: 'max', stands, differs }] }]);
    }
    expect(three.variables.announced()[0]?.here).toBeUndefined();
  });

  it('show the version that most nodes have, so that one node cannot hide it behind another', async () => {
    const fleet = await fleetOf('a', 'a', 'a', 'a');
    const [one, two, liar, looker] = fleet.nodes as Fleet['nodes'][0][] & { length: 4 };
    one?.variables.float('temperature', temperature);
    two?.variables.float('temperature', temperature);
    const later = { version: 999, facts: { ...facts }, at: liar?.hlc.now() as number };
    liar?.shared.set('d/temperature', writeDefinition(later));
    await fleet.run(100);
    expect(looker?.variables.announced()).toMatchObject([{ kind: 'float', definedVersion: 1, otherVersions: [999] }]);
  });

  it('of one node are as many as a node may have, so that it hides those of nobody else', async () => {
    const fleet = await fleetOf('a', 'a', 'a');
    const [liar, one, looker] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0], Fleet['nodes'][0]];
    const at = liar.hlc.now();
    for (let n = 0; n < 12_000; n++) liar.shared.set(`d/n${n}`, writeDefinition({ version: 1, facts, at }));
    await fleet.run(100);
    one.variables.float('temperature', temperature);
    await fleet.run(100);
    const names = looker.variables.announced().map(({ name }) => name);
    expect(names).toContain('temperature');
    expect(names).toHaveLength(1_001);
  });

  it('keep zones apart', async () => {
    const fleet = await fleetOf('east', 'west');
    const [east, west] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0]];
    east.variables.boolean('open', { scope: 'zone' });
    await fleet.run(100);
    expect(east.variables.announced()).toMatchObject([{ zone: undefined, here: 'defined' }]);
    expect(west.variables.announced()).toMatchObject([{ zone: 'east', obstacle: "it is one of zone 'east'" }]);
    west.variables.boolean('open', { scope: 'zone', default: true });
    await fleet.run(100);
    expect(west.variables.announced()).toMatchObject([{ zone: undefined, here: 'defined' }, { zone: 'east' }]);
    expect(west.variables.announced().flatMap(({ conflicts }) => conflicts)).toEqual([]);
  });
});

describe('hostile announcements', () => {
  const usually = (sound: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    fc.oneof({ arbitrary: sound, weight: 9 }, { arbitrary: fc.anything(), weight: 1 });
  const always = {
    scope: usually(fc.constantFrom('zone', 'cluster')),
    sync: usually(fc.constant('eventual')),
    rule: usually(fc.constantFrom('majority', 'lastWriter', 'custom(x)')),
    maxWeight: usually(fc.constantFrom(1, 2)),
  };
  const atTimes = {
    affects: fc.oneof(fc.record({ agents: fc.anything(), method: fc.anything() }), fc.anything()),
    surprise: fc.anything(),
  };
  const termsOf = (kind: string, own: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> => {
    const sound = { kind: usually(fc.constant(kind)), ...always, ...own };
    return fc.oneof(fc.record(sound), fc.record({ ...sound, ...atTimes }, { requiredKeys: [] }));
  };
  const [min, max] = [usually(fc.constant(0)), usually(fc.constantFrom(1, 2))];
  const terms = fc.oneof(
    termsOf('float', { default: usually(fc.constantFrom(0, 0.5)), min, max, step: usually(fc.constantFrom(1, 0.5)) }),
    termsOf('integer', { default: usually(fc.constant(1)), min, max, step: usually(fc.constant(1)) }),
    termsOf('boolean', { default: usually(fc.boolean()) }),
    termsOf('choice', {
      default: usually(fc.constant('a')),
      choices: usually(fc.constant(['a', 'b'])),
      threshold: usually(fc.constantFrom(0, 1)),
      cooldownMs: usually(fc.constant(0)),
    }),
    termsOf('composite', { default: fc.anything() }),
  );
  const entry = fc.oneof(fc.record({ n: usually(fc.constant(1)), s: usually(terms), t: fc.nat() }), fc.anything());
  /** What can arrive: values that the codec carries. */
  const travels = (value: unknown): Value | undefined => {
    try {
      return structuredClone(JSON.parse(JSON.stringify(value) ?? 'null') as Value);
    } catch {
      return undefined; // A cycle or a big integer of fast-check's; nothing that JSON, and so this test, can bring.
    }
  };

  it('never throw, and what can be listed can be observed and adopted, or is refused with a code', async () => {
    const fleet = await fleetOf('a', 'a');
    const [liar, node] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0]];
    let [listed, made] = [0, 0];
    fc.assert(
      fc.property(entry, fc.string(), (written, name) => {
        const key = `d/${name}`;
        node.shared.take(liar.shared.self, [[key, travels(written) ?? null]]);
        const rows = node.variables.announced();
        for (const row of rows) {
          listed += 1;
          expect(row.definedBy).toEqual([liar.shared.self]);
          for (const make of [() => node.variables.observe(row.name), () => node.variables.adopt(row.name)]) {
            try {
              make()[Symbol.dispose]();
              made += 1;
            } catch (error) {
              expect(['INVALID_ARGUMENT', 'INVALID_CRITERIA', 'DEFINITION_CONFLICT']).toContain(
                (error as { code: string }).code,
              );
            }
          }
        }
        node.shared.take(liar.shared.self, [[key, undefined]]);
        expect(node.variables.announced()).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
    // Not all of it was nothing.
    expect(listed).toBeGreaterThan(100);
    expect(made).toBeGreaterThan(10);
  });

  it('are bounded in what one name can show', async () => {
    const zones = Array.from({ length: 60 }, () => 'a');
    const fleet = await fleetOf(...zones);
    const node = fleet.nodes[0] as Fleet['nodes'][0];
    for (const [index, { shared, hlc }] of fleet.nodes.entries()) {
      const version = index < 30 ? 1 : index;
      const at = hlc.now();
      shared.set('d/x', writeDefinition({ version, facts: { ...facts, maxWeight: index < 5 ? 1 : index }, at }));
    }
    await fleet.run(100);
    const [row] = node.variables.announced();
    expect(row?.conflicts.length).toBe(16);
    expect(row?.otherVersions.length).toBe(16);
    expect(row?.definedBy).toHaveLength(5);
  });

  it('of a clock too far ahead, or with a name too long, are nothing', async () => {
    const fleet = await fleetOf('a', 'a');
    const [liar, node] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0]];
    const clock = new HybridClock(() => liar.shared.clock.wallNow() + 3_600_000);
    liar.shared.set('d/early', writeDefinition({ version: 1, facts, at: clock.now() }));
    liar.shared.set(`d/${'x'.repeat(300)}`, writeDefinition({ version: 1, facts, at: liar.hlc.now() }));
    await fleet.run(100);
    expect(node.variables.announced()).toEqual([]);
    const announcements = new Announcements({ entries: node.shared, hlc: node.hlc, zone: 'a' });
    expect(announcements.of('early')).toEqual<Announcement[]>([]);
  });
});
