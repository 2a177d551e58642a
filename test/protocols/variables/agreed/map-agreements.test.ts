/** Agreements over one machine, for one node and for several that share the order. */
import { describe, expect, test } from 'vitest';
import { HybridClock } from '../../../../src/hlc.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { MachineAtoms } from '../../../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../../../src/protocols/coordination/atoms/map-reducer.ts';
import type { CoordinationTools } from '../../../../src/protocols/coordination/tools.ts';
import type { Agreed, AgreementListener, Proposal } from '../../../../src/protocols/variables/agreed/agreements.ts';
import { agreementsMap, MapAgreements } from '../../../../src/protocols/variables/agreed/map-agreements.ts';
import type { Value } from '../../../../src/value.ts';
import { localNode, type ManualClock, SharedOrder, settle } from '../../coordination/local-tools.ts';

const definition = { version: 1, digest: 'd' };

class Node {
  readonly heard: (Agreed | undefined)[] = [];
  readonly errors: string[] = [];
  readonly agreements: MapAgreements;
  readonly map;
  readonly #hlc: HybridClock;
  readonly self: NodeId;
  commands = 0;
  beforeSubmit: () => Promise<void> = async () => undefined;

  constructor(tools: CoordinationTools) {
    const { clock } = tools;
    this.self = tools.self;
    this.#hlc = new HybridClock(() => clock.wallNow());
    const atoms = new MachineAtoms(tools);
    const { ordering } = tools.client;
    const submit = ordering.submit.bind(ordering);
    ordering.submit = async (...given) => {
      this.commands += 1;
      await this.beforeSubmit();
      return submit(...given);
    };
    this.map = atoms.map<Value>(agreementsMap);
    this.agreements = new MapAgreements({
      coordination: atoms,
      clock,
      hlc: this.#hlc,
      onError: (_error, where) => void this.errors.push(where),
    });
  }

  proposal(value: Value, more: Partial<Proposal> = {}): Proposal {
    return { value, definition, at: this.#hlc.now(), ...more };
  }

  /** Numbers of the definition `d` count. */
  follow(name = 'v', listener: Partial<AgreementListener> = {}): () => void {
    return this.agreements.follow(name, {
      accepts: ({ value, definition: { digest } }) => typeof value === 'number' && digest === 'd',
      onAgreed: (agreed) => void this.heard.push(agreed),
      ...listener,
    });
  }

  get values(): Value[] {
    return this.heard.map((agreed) => agreed?.value);
  }
}

const alone = (): { node: Node; clock: ManualClock } => {
  const { tools, clock } = localNode([new MapReducer()]);
  return { node: new Node(tools), clock };
};

const shared = (count: number): { order: SharedOrder; nodes: Node[] } => {
  const order = new SharedOrder([new MapReducer()]);
  return { order, nodes: Array.from({ length: count }, () => new Node(order.node())) };
};

describe('in one process', () => {
  test('a proposal is one command, and has been told when it resolves', async () => {
    const { node } = alone();
    node.follow();
    await settle();
    expect(node.agreements.current('v')).toBeUndefined();
    const proposal = node.proposal(1, { ifVersion: 0 });
    const { version } = await node.agreements.propose('v', proposal);
    expect(node.heard).toEqual([{ value: 1, definition, at: proposal.at, version }]);
    expect(node.commands).toBe(1);
    await settle();
    expect(node.heard).toHaveLength(1);
    expect(node.agreements.current('v')).toEqual(node.heard[0]);
  });

  test('compare-and-set: whoever has not seen the latest is refused', async () => {
    const { node } = alone();
    node.follow();
    const { version } = await node.agreements.propose('v', node.proposal(1, { ifVersion: 0 }));
    for (const ifVersion of [0, version + 1]) {
      await expect(node.agreements.propose('v', node.proposal(2, { ifVersion }))).rejects.toMatchObject({
        code: 'CONFLICT',
        data: { key: 'v', expected: ifVersion, actual: version },
      });
    }
    const next = await node.agreements.propose('v', node.proposal(2, { ifVersion: version }));
    expect(next.version).toBeGreaterThan(version);
    const last = await node.agreements.propose('v', node.proposal(3));
    expect(last.version).toBeGreaterThan(next.version);
    expect(node.values).toEqual([1, 2, 3]);
    expect(node.commands).toBe(5);
  });

  test('one listener per name; names are apart', async () => {
    const { node } = alone();
    node.follow('v');
    expect(() => node.follow('v')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    node.follow('w');
    await node.agreements.propose('w', node.proposal(7));
    expect(node.agreements.current('v')).toBeUndefined();
    expect(node.agreements.current('w')?.value).toBe(7);
    expect(node.agreements.status()).toEqual({ followed: 2, refused: 0 });
  });

  test('a listener that throws is reported', async () => {
    const { node } = alone();
    node.follow('v', {
      onAgreed: () => {
        throw new Error('listener');
      },
    });
    await node.agreements.propose('v', node.proposal(1));
    expect(node.errors).toEqual(["listener of the agreements on 'v'"]);
  });

  test('no timer when nobody follows any more, and none after the end', async () => {
    const { node, clock } = alone();
    const stop = node.follow();
    await settle();
    expect(clock.timers).toBe(1);
    stop();
    await settle();
    expect(clock.timers).toBe(0);
    node.follow();
    await settle();
    node.agreements.stop();
    await settle();
    expect(clock.timers).toBe(0);
    expect(() => node.follow()).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  });
});

describe('several nodes', () => {
  test('hear what the others agreed on, in order, whenever they began to follow', async () => {
    const { nodes } = shared(3);
    const [one, two, three] = nodes as [Node, Node, Node];
    one.follow();
    two.follow('other');
    await settle();
    for (const value of [1, 2]) await one.agreements.propose('v', one.proposal(value));
    await settle();
    two.follow();
    three.follow();
    await settle();
    await three.agreements.propose('v', three.proposal(3));
    await settle();
    expect(one.values).toEqual([1, 2, 3]);
    expect(two.values).toEqual([2, 3]);
    expect(three.values).toEqual([2, 3]);
    expect(two.heard.at(-1)).toEqual(one.heard.at(-1));
  });

  test('of several that write at once under the same version one wins', async () => {
    const { nodes } = shared(4);
    for (const node of nodes) node.follow();
    await settle();
    const results = await Promise.allSettled(
      nodes.map((node, index) => node.agreements.propose('v', node.proposal(index, { ifVersion: 0 }))),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await settle();
    const [first] = nodes.map(({ heard }) => heard);
    expect(first).toHaveLength(1);
    for (const { heard } of nodes) expect(heard).toEqual(first);
  });

  test('what was missed is read', async () => {
    const { order, nodes } = shared(2);
    const [one, two] = nodes as [Node, Node];
    one.follow();
    two.follow();
    await settle();
    order.deafen(two.self);
    for (const value of [1, 2, 3]) await one.agreements.propose('v', one.proposal(value));
    order.undeafen(two.self, { gap: true });
    await settle();
    await settle();
    expect(two.values).toEqual([3]);
  });

  test('one that cannot read what was there tries until it can', async () => {
    const { order, nodes } = shared(2);
    const [one, two] = nodes as [Node, Node];
    await one.agreements.propose('v', one.proposal(1));
    two.follow('other');
    await settle();
    order.fail(two.self, 'before');
    two.follow('v');
    await settle();
    expect(two.values).toEqual([]);
    const stop = two.follow('third');
    await settle();
    const timers = order.clock.timers;
    stop();
    expect(order.clock.timers).toBe(timers - 1);
    order.heal(two.self);
    await order.clock.advance(5_000);
    expect(two.values).toEqual([1]);
    expect(two.errors).toEqual([]);
  });

  test('an unknown outcome is told as such; if it has run, it is heard', async () => {
    const { order, nodes } = shared(2);
    const [one] = nodes as [Node, Node];
    one.follow();
    await settle();
    order.fail(one.self, 'after');
    await expect(one.agreements.propose('v', one.proposal(1))).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME' });
    await settle();
    expect(one.values).toEqual([1]);
  });
});

describe('members that write nonsense into the map', () => {
  const nonsense: readonly Value[] = [
    7,
    { d: 1, k: 'd', at: -1, v: 1 },
    // A year ahead.
    { d: 1, k: 'd', at: (1_700_000_000_000 + 365 * 86_400_000) * 2048, v: 1 },
    // Not what this definition allows.
    { d: 1, k: 'd', at: 5, v: 'text' },
    { d: 1, k: 'another', at: 5, v: 1 },
  ];

  test.each(nonsense)("it is void, here and for who comes later, and stands in nobody's way: %j", async (entry) => {
    const { nodes } = shared(3);
    const [one, two, liar] = nodes as [Node, Node, Node];
    one.follow();
    await settle();
    await one.agreements.propose('v', one.proposal(1));
    await liar.map.set('v', entry);
    two.follow();
    await settle();
    expect(one.values).toEqual([1, undefined]);
    expect(two.values).toEqual([]);
    expect(one.agreements.status().refused).toBe(1);
    expect(two.agreements.status().refused).toBe(1);
    expect(one.agreements.current('v')).toBeUndefined();
    one.commands = 0;
    await one.agreements.propose('v', one.proposal(2, { ifVersion: 0 }));
    expect(one.commands).toBe(2);
    await settle();
    expect(one.values).toEqual([1, undefined, 2]);
    expect(two.values).toEqual([2]);
  });

  test('who writes nonsense before each attempt makes a proposal fail in the end, not go on for ever', async () => {
    const { nodes } = shared(2);
    const [one, liar] = nodes as [Node, Node];
    one.follow();
    await settle();
    let lies = 0;
    one.beforeSubmit = async () => void (await liar.map.set('v', `nonsense ${lies++}`));
    const proposal = one.proposal(1, { ifVersion: 0 });
    await expect(one.agreements.propose('v', proposal)).rejects.toMatchObject({
      code: 'CONFLICT',
      data: { expected: 0, actual: 0 },
    });
    expect(lies).toBe(4);
  });

  test('a version that was seen before the nonsense counts no more', async () => {
    const { node } = alone();
    node.follow();
    const { version } = await node.agreements.propose('v', node.proposal(1));
    await node.map.set('v', 'nonsense');
    await expect(node.agreements.propose('v', node.proposal(2, { ifVersion: version }))).rejects.toMatchObject({
      code: 'CONFLICT',
      data: { expected: version, actual: 0 },
    });
  });

  test('a deleted entry is as if nothing had been agreed on', async () => {
    const { node } = alone();
    node.follow();
    await settle();
    await node.agreements.propose('v', node.proposal(1));
    await node.map.delete('v');
    await settle();
    expect(node.values).toEqual([1, undefined]);
    await node.agreements.propose('v', node.proposal(2, { ifVersion: 0 }));
    expect(node.values).toEqual([1, undefined, 2]);
  });

  test('what a newer definition agreed on is not put aside by an older one', async () => {
    const { node } = alone();
    node.follow();
    await settle();
    const { version } = await node.map.set('v', { d: 2, k: 'newer', at: 5, v: 1 });
    await expect(node.agreements.propose('v', node.proposal(2, { ifVersion: 0 }))).rejects.toMatchObject({
      code: 'CONFLICT',
      data: { expected: 0, actual: version },
    });
  });

  test('a check that throws accepts nothing', async () => {
    const { node } = alone();
    node.follow('v', {
      accepts: () => {
        throw new Error('schema');
      },
    });
    await node.agreements.propose('v', node.proposal(1));
    expect(node.heard).toEqual([]);
    expect(node.errors).toEqual(["check of the agreement on 'v'"]);
  });
});
