/** Agreements put in order by four validators over the simulated network, with a node that is a client only. */
import { expect, test } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { HybridClock } from '../../../../src/hlc.ts';
import { MachineAtoms } from '../../../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../../../src/protocols/coordination/atoms/map-reducer.ts';
import { MachineClient } from '../../../../src/protocols/coordination/machine/machine-client.ts';
import type { Agreed, Proposal } from '../../../../src/protocols/variables/agreed/agreements.ts';
import { MapAgreements } from '../../../../src/protocols/variables/agreed/map-agreements.ts';
import { type GroupNode, GroupWorld } from '../../coordination/group/group-world.ts';
import { rethrow } from '../../coordination/local-tools.ts';

const definition = { version: 1, digest: 'd' };

class Agreeing {
  readonly node: GroupNode;
  readonly heard: (Agreed | undefined)[] = [];
  readonly agreements: MapAgreements;
  readonly #hlc: HybridClock;

  constructor(node: GroupNode) {
    const { id, identity, network, ordering } = node;
    const { clock } = network;
    this.node = node;
    this.#hlc = new HybridClock(() => clock.wallNow());
    const coordination = new MachineAtoms({
      self: id,
      zone: 'test',
      client: new MachineClient(ordering),
      clock,
      rng: seededRng(1),
      timeoutMs: 10_000,
      locate: () => undefined,
      sign: (bytes) => identity.sign(bytes),
      onError: rethrow,
    });
    this.agreements = new MapAgreements({ coordination, clock, hlc: this.#hlc, onError: rethrow });
    this.agreements.follow('v', {
      accepts: ({ value }) => typeof value === 'number',
      onAgreed: (agreed) => void this.heard.push(agreed),
    });
  }

  propose(value: number, more: Partial<Proposal> = {}) {
    return this.agreements.propose('v', { value, definition, at: this.#hlc.now(), ...more });
  }

  get values() {
    return this.heard.map((agreed) => agreed?.value);
  }
}

test('one command through the validators; all hear of it; of two at once one wins; a validator less changes nothing', async () => {
  const group = new GroupWorld({ seed: 1, reducers: () => [new MapReducer()] });
  const { world } = group;
  await group.found();
  const member = await group.join(1);
  const nodes = group.nodes.map((node) => new Agreeing(node));
  const [first, second] = nodes as [Agreeing, Agreeing];
  const last = nodes.find(({ node }) => node === member) as Agreeing;
  const executed = async (): Promise<number> => {
    const health = await world.settled(first.node.ordering.health());
    return Math.max(...[...health.values()].map((one) => one?.executed ?? 0));
  };
  // A node's first command opens its session, and the first reading of the watches may be ordered as well.
  const { version: opened } = await world.settled(last.propose(0, { ifVersion: 0 }));
  await world.run(500);
  const before = await executed();
  const began = world.now;
  const { version } = await world.settled(last.propose(1, { ifVersion: opened }));
  // A request, three phases and a reply, each at most 2 ms on its way, and no second round.
  expect(world.now - began).toBeLessThan(20);
  expect(last.values).toEqual([0, 1]);
  await world.until(() => nodes.every(({ heard }) => heard.length === 2), 5_000);
  for (const { heard } of nodes) expect(heard).toEqual(last.heard);
  expect((await executed()) - before).toBe(1);

  const results = await world.settled(
    Promise.allSettled([first.propose(2, { ifVersion: version }), second.propose(3, { ifVersion: version })]),
  );
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  await world.until(() => nodes.every(({ heard }) => heard.length === 3), 5_000);
  const winner = results[0]?.status === 'fulfilled' ? 2 : 3;
  for (const { values } of nodes) expect(values).toEqual([0, 1, winner]);

  // The primary stops: the others change it, and what is followed goes on.
  world.crash(first.node.network);
  await world.settled(last.propose(4));
  const others = nodes.filter((node) => node !== first);
  await world.until(() => others.every(({ heard }) => heard.at(-1)?.value === 4), 60_000);
  for (const { values } of others) expect(values).toEqual([0, 1, winner, 4]);
});

test('without a quorum nothing is agreed on, and the listeners outlast it', async () => {
  const group = new GroupWorld({ seed: 2, reducers: () => [new MapReducer()] });
  const { world } = group;
  const validators = await group.found();
  const member = new Agreeing(await group.join(1));
  await world.settled(member.propose(1));
  const cut = validators.slice(0, 2).map(({ network }) => network);
  world.partition(cut);
  const failed = await world.settled(
    member.propose(2, {}).then(
      () => 'agreed',
      (error) => error.code,
    ),
    120_000,
  );
  expect(['NO_QUORUM', 'UNKNOWN_OUTCOME']).toContain(failed);
  expect(member.values).toEqual([1]);
  world.heal();
  await world.run(30_000);
  await world.settled(member.propose(3));
  expect(member.values.at(-1)).toBe(3);
  expect(member.heard.every((agreed) => agreed !== undefined)).toBe(true);
});
