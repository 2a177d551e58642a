/**
 * Who is told of a variable, held against deaths, partitions, lost calls and failing handlers: in the end each agent has been told the value that is shown, by a
 * single teller, and nothing waits; what one teller says comes in order; and without faults every change is told.
 */
import { describe, expect, test } from 'vitest';
import type { Acknowledgements } from '../../../src/protocols/variables/affected/audiences.ts';
import { seeds } from '../seeds.ts';
import { AffectedWorld, type DefiningNode, type Life } from './affected-world.ts';

const pick = <T>(world: AffectedWorld, list: readonly T[]): T => list[world.rng.below(list.length)] as T;

/** Of each teller: versions never fall, and equal ones are the same notice come again. */
function expectOrder({ told, agent }: Life, seed: number): void {
  const last = new Map<string, { version: number; value: unknown }>();
  for (const { by, notice } of told) {
    const before = last.get(by);
    if (before !== undefined) {
      expect(notice.version, `seed ${seed}: ${agent} by ${by}`).toBeGreaterThanOrEqual(before.version);
      if (notice.version === before.version) expect(notice.value).toBe(before.value);
    }
    last.set(by, notice);
  }
}

async function chaos(seed: number): Promise<void> {
  const world = new AffectedWorld({ seed, loss: 0.1, failures: 0.2 });
  for (let index = 0; index < 6; index++) world.join();
  (world.nodes[0] as DefiningNode).define();
  const lives: Life[] = [];
  // Now and then somebody waits for all of them, whoever tells them otherwise.
  const waits: Promise<Acknowledgements | undefined>[] = [];
  let value = 0;
  const act = (): void => {
    const node = pick(world, world.live);
    const kind = world.rng.below(22);
    if (kind < 8) {
      node.define();
      node.set(++value);
    } else if (kind < 13) lives.push(world.place(pick(world, ['a', 'b', 'c', 'd']), node));
    else if (kind < 14) world.remove(pick(world, ['a', 'b', 'c', 'd']));
    else if (kind < 16) node.define();
    else if (kind < 17) node.dispose();
    else if (kind < 18 && world.live.length > 3) world.kill(node);
    else if (kind < 19) world.shared.partition([node.shared]);
    else if (kind < 20) world.shared.heal();
    else waits.push(node.ask(3_000));
  };
  for (let step = 0; step < 80; step++) {
    act();
    await world.run(world.rng.below(world.rng.float() < 0.1 ? 5_000 : 200));
  }
  world.shared.heal();
  const [definer = world.live[0] as DefiningNode] = world.live.filter(({ audience }) => audience !== undefined);
  definer.define();
  lives.push(world.place('last', pick(world, world.live)));
  await world.run(180_000);

  for (const life of lives) expectOrder(life, seed);
  for (const asked of await Promise.all(waits)) {
    const { acknowledged = [], unacknowledged = [] } = asked ?? {};
    const all = [...acknowledged, ...unacknowledged.map(({ agent }) => agent)];
    expect(new Set(all).size, `seed ${seed}`).toBe(all.length);
  }
  const { shown } = definer;
  for (const node of world.live) {
    expect(node.shown, `seed ${seed}`).toEqual(shown);
    if (node.audience === undefined) continue;
    expect(node.audience.status(), `seed ${seed}`).toEqual({ affected: world.lives.size, untold: 0 });
  }
  for (const [agent, { told }] of world.lives) {
    expect(told.at(-1)?.notice.value, `seed ${seed}: ${agent}`).toBe(shown?.value);
  }
  for (const node of world.live) expect(node.errors, `seed ${seed}`).toEqual([]);

  // From here on each agent has one teller, and hears every change.
  const before = new Map([...world.lives.values()].map((life) => [life, life.told.length]));
  for (let change = 0; change < 5; change++) {
    definer.set(++value);
    await world.run(50);
  }
  await world.run(120_000);
  for (const [{ told, agent }, count] of before) {
    const since = told.slice(count);
    expect(new Set(since.map(({ by }) => by)).size, `seed ${seed}: ${agent}`).toBe(1);
    // By now nobody else has anything to add.
    const heard = [...new Set(since.map(({ notice }) => notice.value))];
    expect(heard, `seed ${seed}: ${agent}`).toEqual([4, 3, 2, 1, 0].map((back) => value - back));
    expect(since.every(({ notice }) => notice.skipped === 0)).toBe(true);
  }
}

describe('agents that a variable affects', () => {
  test.each(seeds(60))('are told in the end, whatever happened, seed %i', (seed) => chaos(seed));

  test('without faults every change is told once, in order, by the node of the agent where that can', async () => {
    const world = new AffectedWorld({ seed: 7 });
    const [one, two, three] = [world.join(), world.join(), world.join()];
    one.define();
    three.define();
    const elsewhere = world.place('elsewhere', two);
    const beside = world.place('beside', three);
    await world.run(100);
    for (let value = 1; value <= 20; value++) {
      pick(world, [one, three]).set(value);
      await world.run(30);
    }
    await world.run(1_000);
    const all = Array.from({ length: 20 }, (_, index) => index + 1);
    for (const { told } of [elsewhere, beside]) expect(told.map(({ notice }) => notice.value)).toEqual(all);
    expect(new Set(elsewhere.told.map(({ by }) => by))).toEqual(new Set([one.id]));
    expect(new Set(beside.told.map(({ by }) => by))).toEqual(new Set([three.id]));
  });

  test('when the teller dies, the next one tells the present value and goes on', async () => {
    const world = new AffectedWorld({ seed: 8 });
    const [one, two, three] = [world.join(), world.join(), world.join()];
    one.define();
    two.define();
    const life = world.place('agent', three);
    two.set(1);
    await world.run(100);
    expect(life.told.map(({ by, notice }) => [by, notice.value])).toEqual([[one.id, 1]]);
    world.kill(one);
    await world.run(1_000);
    two.set(2);
    await world.run(2_000);
    const later = life.told.slice(1).map(({ by, notice }) => [by, notice.value]);
    // Once more after a second: the last words of the dead may have come late.
    expect(later).toEqual([
      [two.id, 1],
      [two.id, 2],
      [two.id, 2],
    ]);
  });
});
