/** Monitors of many nodes in virtual time: owners die, nodes are cut off and come, values flap. */
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { type MonitorNode, MonitorWorld } from '../../protocols/infrastructure/monitor/monitor-nodes.ts';
import { seeds } from '../seeds.ts';

const options = {
  id: 'response-time',
  metric: 'response-time',
  aggregation: 'p95',
  thresholds: { warning: 100, critical: 500 },
  windowMs: 10_000,
  notify: { agents: ['pager', 'log'] },
} as const;

/** Everybody measures five times a second, around a value that the test sets. */
class Load {
  value = 20;
  readonly #world: MonitorWorld;
  #stopped = false;

  constructor(world: MonitorWorld) {
    this.#world = world;
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
  }

  #tick(): void {
    const { time } = this.#world.shared;
    if (this.#stopped) return;
    for (const node of this.#world.nodes)
      if (node.entries.alive) node.record(this.value * (0.98 + 0.04 * time.rng.float()));
    time.clock.after(200, () => this.#tick());
  }
}

const alive = (world: MonitorWorld): MonitorNode[] => world.nodes.filter(({ entries }) => entries.alive);
const raisers = (nodes: readonly MonitorNode[]): string[] => [
  ...new Set(nodes.flatMap(({ heard }) => heard.map(({ raisedBy }) => raisedBy))),
];
const byId = (world: MonitorWorld, id: string): MonitorNode =>
  world.nodes.find(({ entries }) => entries.self === id) as MonitorNode;
/** Longer than the window, its publication and its judgement. */
const settleMs = 13_000;

/** Of one incident nobody hears the same level twice in a row; an end only after a beginning. */
function expectChanges({ heard, entries, foundAtStart }: MonitorNode): void {
  const levels = new Map<string, string>();
  if (foundAtStart !== undefined) levels.set(foundAtStart.incident, foundAtStart.level);
  for (const { incident, level, previous } of heard) {
    expect(previous, `${entries.self} ${incident}`).toBe(levels.get(incident) ?? 'ok');
    expect(level, `${entries.self} ${incident}`).not.toBe(previous);
    levels.set(incident, level);
  }
}

function expectAgreement(nodes: readonly MonitorNode[]): void {
  const states = nodes.map(({ only }) => [only.level, only.status().incident]);
  for (const state of states) expect(state).toEqual(states[0]);
}

describe.each(seeds(5))('seed %i', (seed) => {
  test('an incident is raised once for all, told once to each agent, and cleared once', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = world.joinMany(10, options);
    const load = new Load(world);
    await world.run(settleMs);
    expect(nodes.map(({ levels }) => levels).join('')).toBe('');
    load.value = 700;
    await world.run(settleMs);
    load.value = 20;
    await world.run(settleMs);
    for (const node of nodes) {
      expectChanges(node);
      // On its way up and down the 95th percentile may pass through the warning.
      expect(node.levels).toMatch(/^w?cw?o$/);
      expect(new Set(node.heard.map(({ incident }) => incident)).size).toBe(1);
    }
    expect(raisers(nodes).length).toBe(1);
    for (const agent of options.notify.agents) {
      const calls = world.calls.filter((call) => call.agent === agent);
      expect(calls.map(({ alert }) => alert.level)).toEqual(nodes[0]?.heard.map(({ level }) => level));
      expect(new Set(calls.map(({ key }) => key)).size).toBe(calls.length);
      expect(new Set(calls.map(({ method }) => method))).toEqual(new Set(['alert']));
    }
    load.stop();
  });

  test('the owner dies in the middle of an incident: the next one carries it on, without raising it again', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = world.joinMany(6, options);
    const load = new Load(world);
    load.value = 200;
    await world.run(settleMs);
    const [owner] = raisers(nodes) as [string];
    const incident = nodes[0]?.only.status().incident;
    world.shared.kill(byId(world, owner).entries);
    await world.run(settleMs);
    for (const node of alive(world)) expect([node.levels, node.only.status().incident]).toEqual(['w', incident]);
    load.value = 10;
    await world.run(settleMs);
    for (const node of alive(world)) expect(node.levels).toBe('wo');
    expect(raisers(alive(world)).length).toBe(2);
    expect(world.calls.map(({ agent, alert }) => `${agent} ${alert.level}`).sort()).toEqual(
      ['log ok', 'log warning', 'pager ok', 'pager warning'].sort(),
    );
    load.stop();
  });

  test('the owner dies while it raises: everybody hears of the incident once, agents at least once', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = world.joinMany(6, options);
    const load = new Load(world);
    await world.run(settleMs);
    load.value = 200;
    await world.shared.time.until(() => nodes.some(({ heard }) => heard.length > 0), 20_000);
    const [owner] = raisers(nodes) as [string];
    await world.run(world.shared.time.rng.float() * 10);
    world.shared.kill(byId(world, owner).entries);
    await world.run(2 * settleMs);
    for (const node of alive(world)) {
      expectChanges(node);
      expect(node.levels).toBe('w');
    }
    expectAgreement(alive(world));
    const keys = new Set(world.calls.filter(({ alert }) => alert.level === 'warning').map(({ key }) => key));
    expect(keys.size).toBe(1);
    for (const agent of options.notify.agents) {
      const calls = world.calls.filter((call) => call.agent === agent);
      expect(calls.length).toBeGreaterThanOrEqual(1);
      expect(calls.length).toBeLessThanOrEqual(2);
    }
    load.stop();
  });

  test('a value that flaps within the hysteresis raises one alert', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = world.joinMany(4, options);
    const load = new Load(world);
    load.value = 120;
    await world.run(settleMs);
    for (let n = 0; n < 10; n++) {
      load.value = n % 2 === 0 ? 96 : 110;
      await world.run(settleMs);
    }
    for (const node of nodes) expect(node.levels).toBe('w');
    load.stop();
  });

  test('cut in two: each side sees its own, and after it all agree on one incident', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = world.joinMany(7, options);
    const load = new Load(world);
    await world.run(settleMs);
    world.shared.partition(nodes.slice(0, 3).map(({ entries }) => entries));
    await world.run(10_000);
    load.value = 300;
    await world.run(settleMs);
    for (const node of nodes) expect(node.levels).toBe('w');
    expect(new Set(nodes.map(({ only }) => only.status().incident)).size).toBe(1);
    world.shared.heal();
    await world.run(settleMs);
    for (const node of nodes) expect(node.levels).toBe('w');
    expectAgreement(nodes);
    load.value = 10;
    await world.run(settleMs);
    for (const node of nodes) expect(node.levels).toBe('wo');
    // Both sides called for the warning, as neither could know of the other, under one key; the end was told once.
    expect(new Set(world.calls.map(({ key }) => key)).size).toBe(2);
    expect(world.calls.filter(({ agent, alert }) => agent === 'log' && alert.level === 'ok').length).toBe(1);
    load.stop();
  });

  test('made at different times, a monitor has one birth: cut in two, both sides name the incident alike', async () => {
    const world = new MonitorWorld({ seed });
    const nodes = Array.from({ length: 6 }, () => world.join());
    for (const node of nodes) {
      node.monitor(options);
      await world.run(world.shared.time.rng.below(3_000));
    }
    await world.run(1_000);
    world.shared.partition(nodes.slice(3).map(({ entries }) => entries));
    await world.run(5_000);
    for (const node of nodes) node.record(300);
    await world.run(5_000);
    for (const node of nodes) expect(node.levels).toBe('w');
    expectAgreement(nodes);
  });

  test('nodes that come may become the owner: the incident goes on, and only one entry tells of it', async () => {
    const world = new MonitorWorld({ seed });
    world.joinMany(2, options);
    const load = new Load(world);
    load.value = 200;
    await world.run(settleMs);
    const holders = new Set<string>();
    for (let n = 0; n < 8; n++) {
      world.join().monitor(options);
      await world.run(3_000);
      const told = [...(world.nodes[0] as MonitorNode).entries.of('alert/response-time').keys()];
      expect(told.length).toBe(1);
      holders.add(told[0] as string);
    }
    expect(holders.size).toBeGreaterThan(1);
    expectAgreement(world.nodes);
    expect(new Set(world.nodes.flatMap(({ heard }) => heard.map(({ incident }) => incident))).size).toBe(1);
    for (const node of world.nodes.slice(0, 2)) expect(node.levels).toBe('w');
    expect(world.calls.length).toBe(2);
    load.stop();
  });

  test('nodes come, die and are cut off at random: in the end all agree with the measurements', async () => {
    const world = new MonitorWorld({ seed });
    world.joinMany(6, options);
    const load = new Load(world);
    const { rng } = world.shared.time;
    for (let step = 0; step < 15; step++) {
      load.value = [20, 95, 150, 300, 900][rng.below(5)] as number;
      const [some] = alive(world).slice(rng.below(alive(world).length));
      const event = rng.below(5);
      if (event === 0 && alive(world).length > 3) world.shared.kill((some as MonitorNode).entries);
      if (event === 1) world.join().monitor(options);
      if (event === 2) {
        world.shared.heal();
        world.shared.partition(
          alive(world)
            .filter(() => rng.below(2) === 0)
            .map(({ entries }) => entries),
        );
      }
      if (event === 3) world.shared.heal();
      await world.run(rng.below(12_000));
    }
    world.shared.heal();
    load.value = 900;
    await world.run(3 * settleMs);
    expectAgreement(alive(world));
    expect(alive(world)[0]?.only.level).toBe('critical');
    load.value = 20;
    await world.run(2 * settleMs);
    expectAgreement(alive(world));
    for (const node of alive(world)) {
      expectChanges(node);
      expect(node.only.level).toBe('ok');
      expect(node.errors).toEqual([]);
    }
    load.stop();
  });
});

/** A process that is stopped: timers that were due meanwhile fire when it goes on. */
class Standstill {
  #held: (() => void)[] | undefined;

  readonly clockOf = (clock: Clock): Clock => ({
    now: () => clock.now(),
    wallNow: () => clock.wallNow(),
    after: (ms, fire) => {
      let isCancelled = false;
      const run = (): void => {
        if (isCancelled) return;
        if (this.#held === undefined) fire();
        else this.#held.push(run);
      };
      const timer = clock.after(ms, run);
      return {
        cancel: () => {
          isCancelled = true;
          timer.cancel();
        },
      };
    },
  });

  begin(): void {
    this.#held = [];
  }

  end(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const run of held) run();
  }
}

test('an owner that stood still hears what became of the incident before it judges', async () => {
  const world = new MonitorWorld({ seed: 7 });
  const stills = new Map<MonitorNode, Standstill>();
  for (let index = 0; index < 4; index++) {
    const still = new Standstill();
    stills.set(world.join(undefined, { clockOf: still.clockOf }), still);
  }
  for (const node of world.nodes) node.monitor(options);
  const measure = async (value: number, nodes: readonly MonitorNode[], times: number): Promise<void> => {
    for (let n = 0; n < times; n++) {
      for (const node of nodes) node.record(value);
      await world.run(200);
    }
  };
  await measure(200, world.nodes, 25);
  expect(world.nodes.map(({ levels }) => levels)).toEqual(['w', 'w', 'w', 'w']);
  const owner = byId(world, raisers(world.nodes)[0] as string);
  const others = world.nodes.filter((node) => node !== owner);
  stills.get(owner)?.begin();
  world.shared.partition([owner.entries]);
  await measure(900, others, 75);
  expect(others.map(({ levels }) => levels)).toEqual(['wc', 'wc', 'wc']);
  stills.get(owner)?.end();
  world.shared.heal();
  await measure(900, world.nodes, 25);
  expect(world.nodes.map(({ levels }) => levels)).toEqual(['wc', 'wc', 'wc', 'wc']);
  expect(world.calls.filter(({ alert }) => alert.level === 'ok')).toEqual([]);
});

test('what nodes measure is said at most every twentieth of the window, and nothing when nothing is measured', async () => {
  const world = new MonitorWorld({ seed: 1 });
  const nodes = world.joinMany(5, options);
  const sent = (): number[] => nodes.map(({ entries }) => entries.sent);
  await world.run(60_000);
  const before = sent();
  await world.run(3_600_000);
  expect(sent()).toEqual(before);
  const { eventsRun } = world.shared.time;
  await world.run(3_600_000);
  expect(world.shared.time.eventsRun).toBe(eventsRun);
  const load = new Load(world);
  await world.run(20_000);
  // A twentieth of the window is 500 ms.
  for (const [n, count] of sent().entries()) expect(count - (before[n] as number)).toBeLessThanOrEqual(41);
  load.stop();
  await world.run(15_000);
  const after = sent();
  for (const [n, { only }] of nodes.entries())
    expect([n, only.value, only.status().samples]).toEqual([n, undefined, 0]);
  await world.run(3_600_000);
  expect(sent()).toEqual(after);
});
