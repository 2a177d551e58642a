/** What several nodes must agree on: envelopes pass directly between their feeds. */
import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import { ClusterRegistry } from '../../../src/protocols/registry/cluster-registry.ts';
import type { LostEvent, RegistryEvent } from '../../../src/protocols/registry/registry.ts';
import { converge, createClusterDependencies, ManualClock, TestNode } from './harness.ts';

const handler = (): void => undefined;
const ids = (node: TestNode): string[] => node.registry.query().map(({ id }) => id);
const hosts = (node: TestNode): string[][] => node.registry.query().map(({ id, node }) => [id, node]);

/** All events of a watch so far; none may be waiting on anything asynchronous. */
function watchAll(node: TestNode): () => Promise<string[]> {
  const events = node.registry.watch()[Symbol.asyncIterator]();
  return async () => {
    const words: string[] = [];
    const marker = await node.registry.register('~marker', handler, { capabilities: [] });
    for (;;) {
      const { value } = (await events.next()) as IteratorYieldResult<RegistryEvent>;
      if (value.record.id !== '~marker') {
        words.push(`${value.type} ${value.record.id}${value.type === 'down' ? ` ${value.reason}` : ''}`);
      } else if (value.type === 'up') break;
    }
    await marker.unregister();
    await events.next();
    return words;
  };
}

describe('ClusterRegistry among several nodes', () => {
  it('sees what others registered, and not their handlers', async () => {
    const [a, b] = [new TestNode({ zone: 'eu' }), new TestNode({ zone: 'us' })];
    await b.registry.register('planner', handler, {
      capabilities: ['plan'],
      custom: { team: 'blue', since: new Date(5) },
    });
    converge(a, b);
    expect(a.registry.lookup('planner')).toEqual(b.registry.lookup('planner'));
    expect(a.registry.lookup('planner')).toMatchObject({ node: b.id, zone: 'us', custom: { since: new Date(5) } });
    expect(a.registry.handlers.get('planner')).toBeUndefined();
    expect(b.registry.handlers.get('planner')).toBe(handler);
    expect(a.registry.query({}, { scope: 'node' })).toEqual([]);
    expect(Object.isFrozen(a.registry.lookup('planner')?.custom)).toBe(true);
  });

  it('refuses an id that is registered on another node, and says where', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    await b.registry.register('planner', handler, { capabilities: [] });
    converge(a, b);
    await expect(a.registry.register('planner', handler, { capabilities: [] })).rejects.toMatchObject({
      code: 'ALREADY_REGISTERED',
      data: { id: 'planner', node: b.id },
    });
    const [result] = (await a.registry.batch([{ op: 'unregister', id: 'planner' }])).results;
    expect(result).toMatchObject({ ok: false, error: { code: 'NOT_REGISTERED' } });
    expect(a.feeds.head(a.id, 'registry')).toBeUndefined();
  });

  it('does not grow what is replicated by 10,000 failed registrations', async () => {
    const node = new TestNode();
    await node.registry.register('planner', handler, { capabilities: [] });
    node.flush();
    const head = node.feeds.head(node.id, 'registry');
    const usage = node.feeds.usage();
    const attempt = { op: 'register', id: 'planner', handler, metadata: { capabilities: ['usurp'] } } as const;
    const { results } = await node.registry.batch(Array.from({ length: 10_000 }, () => attempt));
    expect(results.every(({ ok }) => !ok)).toBe(true);
    expect(node.flush()).toEqual([]);
    expect(node.feeds.head(node.id, 'registry')).toEqual(head);
    expect(node.feeds.usage()).toEqual(usage);
  });

  it('hides the agents of a node that is gone, each with one down event, and shows them when it is back', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    for (const id of ['x', 'y']) await b.registry.register(id, handler, { capabilities: ['c'], kind: id });
    converge(a, b);
    const events = watchAll(a);
    expect(await events()).toEqual(['up x', 'up y']);
    a.membership.become(b.id, 'suspect');
    expect(await events()).toEqual([]);
    for (const state of ['unreachable', 'removed'] as const) a.membership.become(b.id, state);
    expect(await events()).toEqual(['down x node-down', 'down y node-down']);
    expect(a.registry.query({ capabilities: 'c' })).toEqual([]);
    expect(a.registry.count({ node: b.id })).toBe(0);
    expect(a.registry.lookup('x')).toBeUndefined();
    a.membership.become(b.id, 'alive');
    expect(await events()).toEqual(['up x', 'up y']);
    expect(ids(a)).toEqual(['x', 'y']);
  });

  it('keeps what a hidden node writes until it is shown, and never shows its older state', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    const x = await b.registry.register('x', handler, { capabilities: [], version: '1' });
    converge(a, b);
    a.membership.become(b.id, 'unreachable');
    await x.update({ version: '2' });
    await b.registry.register('y', handler, { capabilities: [] });
    a.pullFrom(b);
    expect(ids(a)).toEqual([]);
    a.membership.become(b.id, 'alive');
    expect(ids(a)).toEqual(['x', 'y']);
    expect(a.registry.lookup('x')?.version).toBe('2');
  });

  it('shows nothing of an author that membership does not know', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    await b.registry.register('x', handler, { capabilities: [] });
    a.pullFrom(b);
    expect(ids(a)).toEqual([]);
    a.membership.become(b.id, 'alive');
    expect(ids(a)).toEqual(['x']);
  });

  it('lets the state of a restarted node replace the old one for good', async () => {
    const identity = createIdentity();
    const [a, before] = [new TestNode(), new TestNode({ identity, epoch: 1 })];
    await before.registry.register('old', handler, { capabilities: [] });
    await before.registry.register('both', handler, { capabilities: [], version: '1' });
    converge(a, before);
    const stale = before.feeds.envelopesAfter(before.id, 'registry', undefined);
    const after = new TestNode({ identity, epoch: 2 });
    await after.registry.register('both', handler, { capabilities: [], version: '2' });
    a.pullFrom(after);
    expect(a.registry.query().map(({ id, version }) => [id, version])).toEqual([['both', '2']]);
    a.receive(stale);
    expect(a.registry.query().map(({ id, version }) => [id, version])).toEqual([['both', '2']]);
  });

  it('keeps the newer of a delta and a full transfer from before it', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    const x = await b.registry.register('x', handler, { capabilities: [], version: '1' });
    converge(a, b);
    const full = b.feeds.envelopesAfter(b.id, 'registry', undefined);
    await x.update({ version: '2' });
    a.receive(b.flush());
    a.receive(full);
    expect(a.registry.lookup('x')?.version).toBe('2');
  });

  it('loses nothing when a third node joins or one is removed', async () => {
    const [a, b, c] = [new TestNode(), new TestNode(), new TestNode()];
    await a.registry.register('a', handler, { capabilities: [] });
    await b.registry.register('b', handler, { capabilities: [] });
    converge(a, b);
    await c.registry.register('c', handler, { capabilities: [] });
    c.membership.become(a.id, 'alive');
    c.membership.become(b.id, 'alive');
    c.pullFrom(a); // What a has of b comes with it.
    expect(ids(c)).toEqual(['a', 'b', 'c']);
    converge(a, b, c);
    for (const node of [a, b, c]) expect(ids(node)).toEqual(['a', 'b', 'c']);
    a.membership.become(b.id, 'removed');
    expect(ids(a)).toEqual(['a', 'c']);
  });

  it('takes the last words of a node that stops', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    const x = await b.registry.register('x', handler, { capabilities: [], version: '1' });
    converge(a, b);
    await x.update({ version: 'final' });
    await b.registry.stop();
    a.receive(b.flush());
    expect(a.registry.lookup('x')?.version).toBe('final');
    const events = watchAll(a);
    a.membership.become(b.id, 'left');
    expect(await events()).toEqual(['up x', 'down x node-down']);
  });

  it('flushes when it stops', async () => {
    let flushed = 0;
    const flush = (): void => {
      flushed += 1;
    };
    const registry = new ClusterRegistry({ ...createClusterDependencies(), flush });
    await Promise.all([registry.stop(), registry.stop()]);
    expect(flushed).toBe(1);
  });
});

describe('ClusterRegistry after a split', () => {
  it('has the same on both sides, and deletes stay deleted', async () => {
    const [a, b] = [new TestNode(), new TestNode()];
    const stays = await a.registry.register('stays', handler, { capabilities: ['old'] });
    const goes = await b.registry.register('goes', handler, { capabilities: [] });
    converge(a, b);
    await stays.update({ capabilities: ['new'] });
    await goes.unregister();
    await a.registry.register('from-a', handler, { capabilities: [] });
    await b.registry.register('from-b', handler, { capabilities: [] });
    converge(a, b);
    expect(ids(a)).toEqual(['from-a', 'from-b', 'stays']);
    expect(hosts(b)).toEqual(hosts(a));
    expect(b.registry.query({ capabilities: 'old' })).toEqual([]);
    expect(b.registry.query({ capabilities: 'new' })).toHaveLength(1);
  });

  it('gives an id to the earlier claim everywhere, tells the loser, and takes its entry out', async () => {
    const clock = new ManualClock();
    const [a, b, c] = [new TestNode({ clock }), new TestNode({ clock }), new TestNode({ clock })];
    await a.registry.register('planner', handler, { capabilities: ['from-a'] });
    clock.advance(10);
    const loser = await b.registry.register('planner', handler, { capabilities: ['from-b'], version: '7' });
    const gone: string[] = [];
    b.registry.handlers.onGone((id) => gone.push(id));
    const lost: LostEvent[] = [];
    loser.onLost((event) => lost.push(event));
    const eventsOfB = watchAll(b);
    const eventsOfC = watchAll(c);
    // c hears of the loser first, and must change its mind.
    c.membership.become(b.id, 'alive');
    c.membership.become(a.id, 'alive');
    c.pullFrom(b);
    expect(c.registry.lookup('planner')?.node).toBe(b.id);
    c.pullFrom(a);
    expect(c.registry.lookup('planner')?.node).toBe(a.id);
    converge(a, b, c);
    for (const node of [a, b, c]) {
      expect(hosts(node)).toEqual([['planner', a.id]]);
      expect(node.registry.query({ capabilities: 'from-b' })).toEqual([]);
      expect(node.feeds.get(b.id, 'registry', 'planner')).toBeUndefined();
    }
    expect(lost).toEqual([
      {
        id: 'planner',
        reason: 'conflict',
        record: expect.objectContaining({ node: b.id, version: '7' }),
        winner: a.registry.lookup('planner'),
      },
    ]);
    expect(gone).toEqual(['planner']);
    expect(b.registry.handlers.get('planner')).toBeUndefined();
    expect(loser.active).toBe(false);
    await expect(loser.update({ version: '8' })).rejects.toMatchObject({ code: 'NOT_REGISTERED' });
    expect(await eventsOfB()).toEqual(['up planner', 'down planner conflict', 'up planner']);
    expect(await eventsOfC()).toEqual(['up planner', 'down planner conflict', 'up planner']);
    const late: LostEvent[] = [];
    loser.onLost((event) => late.push(event));
    expect(late).toEqual(lost);
  });

  it('decides equal timestamps by the smaller node id, wherever it is computed', async () => {
    const clock = new ManualClock();
    const [a, b] = [new TestNode({ clock }), new TestNode({ clock })];
    const [atA, atB] = await Promise.all(
      [a, b].map((node) => node.registry.register('x', handler, { capabilities: [] })),
    );
    expect(atA?.record.claimedAt).toBe(atB?.record.claimedAt);
    const [winner] = [a.id, b.id].sort();
    converge(b, a);
    for (const node of [a, b]) expect(hosts(node)).toEqual([['x', winner]]);
    expect([atA?.active, atB?.active]).toEqual([winner === a.id, winner === b.id]);
  });

  it('gives the id back when the winner goes before the loser has heard of it', async () => {
    const clock = new ManualClock();
    const [a, b, c] = [new TestNode({ clock }), new TestNode({ clock }), new TestNode({ clock })];
    await a.registry.register('x', handler, { capabilities: [] });
    clock.advance(10);
    await b.registry.register('x', handler, { capabilities: [] });
    for (const other of [a, b]) c.membership.become(other.id, 'alive');
    c.pullFrom(a);
    c.pullFrom(b);
    const events = watchAll(c);
    expect(c.registry.lookup('x')?.node).toBe(a.id);
    c.membership.become(a.id, 'unreachable');
    expect(c.registry.lookup('x')?.node).toBe(b.id);
    c.membership.become(a.id, 'alive');
    expect(c.registry.lookup('x')?.node).toBe(a.id);
    expect(await events()).toEqual(['up x', 'down x node-down', 'up x', 'down x conflict', 'up x']);
  });
});

describe('ClusterRegistry and hostile or broken authors', () => {
  const good = { claimedAt: 5, zone: 'z', capabilities: ['c'] };

  it('drops and counts entries that are no records, and takes the good ones beside them', () => {
    const [a, evil] = [new TestNode(), new TestNode()];
    const bad = [
      'text',
      null,
      5,
      [],
      {},
      { ...good, claimedAt: -1 },
      { ...good, claimedAt: 1.5 },
      { ...good, claimedAt: 'now' },
      { ...good, capabilities: 'c' },
      { ...good, capabilities: [5] },
      { ...good, capabilities: Array.from({ length: 65 }, (_, at) => `c${at}`) },
      { ...good, zone: 5 },
      { ...good, zone: 'z'.repeat(129) },
      { ...good, health: 'undead' },
      { ...good, capacity: { cpu: Number.NaN } },
      { ...good, capacity: JSON.parse('{"__proto__": 5}') },
      { ...good, preferences: { consistency: 'none' } },
      { ...good, custom: [] },
      { ...good, custom: JSON.parse('{"__proto__": {"admin": true}}') },
      { ...good, custom: { long: 'x'.repeat(17_000) } },
    ];
    bad.forEach((entry, at) => void evil.feeds.set('registry', `bad-${at}`, entry));
    evil.feeds.set('registry', 'x'.repeat(257), good);
    evil.feeds.set('registry', 'good', { ...good, extension: 'of a later version' });
    converge(a, evil);
    expect(ids(a)).toEqual(['good']);
    expect(a.registry.refused).toMatchObject({ malformed: bad.length + 1, premature: 0, last: { author: evil.id } });
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('treats an entry that turned bad as deleted, as a later joiner would', () => {
    const [a, b] = [new TestNode(), new TestNode()];
    b.feeds.set('registry', 'x', good);
    converge(a, b);
    expect(ids(a)).toEqual(['x']);
    b.feeds.set('registry', 'x', { ...good, health: 'undead' });
    converge(a, b);
    const joiner = new TestNode();
    converge(joiner, b);
    expect([ids(a), ids(joiner)]).toEqual([[], []]);
  });

  it("cannot have another author's agents changed or taken", async () => {
    const clock = new ManualClock();
    const [a, b, evil] = [new TestNode({ clock }), new TestNode({ clock }), new TestNode({ clock })];
    await a.registry.register('x', handler, { capabilities: ['honest'] });
    clock.advance(1);
    evil.feeds.set('registry', 'x', {
      ...good,
      claimedAt: clock.wallNow() * 2048,
      node: a.id,
      capabilities: ['forged'],
    });
    evil.feeds.delete('registry', 'y');
    converge(a, b, evil);
    for (const node of [a, b]) {
      expect(node.registry.query().map(({ id, node: host, capabilities }) => [id, host, ...capabilities])).toEqual([
        ['x', a.id, 'honest'],
      ]);
    }
  });

  it('takes a claim from a clock too far ahead only once its own clock has caught up', async () => {
    const clock = new ManualClock();
    const [a, ahead] = [new TestNode({ clock }), new TestNode({ clock, skewMs: 90_000 })];
    await ahead.registry.register('x', handler, { capabilities: [] });
    converge(a, ahead);
    expect(ids(a)).toEqual([]);
    expect(a.registry.refused).toMatchObject({ malformed: 0, premature: 1 });
    const own = await a.registry.register('own', handler, { capabilities: [] });
    expect(own.record.claimedAt).toBeLessThan((clock.wallNow() + 1) * 2048);
    clock.advance(29_000);
    expect(ids(a)).toEqual(['own']);
    clock.advance(3_000);
    expect(ids(a)).toEqual(['own', 'x']);
    expect(a.registry.refused.premature).toBe(0);
  });

  it('forgets a premature claim that was withdrawn', async () => {
    const clock = new ManualClock();
    const [a, ahead] = [new TestNode({ clock }), new TestNode({ clock, skewMs: 90_000 })];
    const x = await ahead.registry.register('x', handler, { capabilities: [] });
    converge(a, ahead);
    await x.unregister();
    converge(a, ahead);
    expect(a.registry.refused.premature).toBe(0);
    clock.advance(120_000);
    expect(ids(a)).toEqual([]);
  });

  it('orders its own claims after every claim it has seen', async () => {
    const clock = new ManualClock();
    const [a, ahead] = [new TestNode({ clock }), new TestNode({ clock, skewMs: 30_000 })];
    const seen = await ahead.registry.register('x', handler, { capabilities: [] });
    converge(a, ahead);
    const own = await a.registry.register('y', handler, { capabilities: [] });
    expect(own.record.claimedAt).toBeGreaterThan(seen.record.claimedAt);
  });

  it('drops the agents of a quarantined author, as of a node that is gone', async () => {
    const identity = createIdentity();
    const [a, one, two] = [new TestNode(), new TestNode({ identity }), new TestNode({ identity })];
    await one.registry.register('x', handler, { capabilities: [] });
    converge(a, one);
    const events = watchAll(a);
    expect(await events()).toEqual(['up x']);
    await two.registry.register('x', handler, { capabilities: ['another history'] });
    a.receive(two.flush());
    expect(a.feeds.isQuarantined(one.id)).toBe(true);
    expect(await events()).toEqual(['down x node-down']);
  });
});

describe('ClusterRegistry.resolve', () => {
  it('goes by zone and then by measured round trip, and to suspects only when nobody else is left', async () => {
    const here = new TestNode({ zone: 'eu' });
    const [near, nearer, unmeasured, far] = ['eu', 'eu', 'eu', 'us'].map((zone) => new TestNode({ zone })) as [
      TestNode,
      TestNode,
      TestNode,
      TestNode,
    ];
    const others = { near, nearer, unmeasured, far };
    for (const [id, node] of Object.entries(others)) await node.registry.register(id, handler, { capabilities: ['x'] });
    converge(here, ...Object.values(others));
    here.membership.become(near.id, 'alive', 5);
    here.membership.become(nearer.id, 'alive', 1);
    here.membership.become(far.id, 'alive', 0.1);
    const choose = (): string | undefined => here.registry.resolve({ capabilities: 'x' })?.id;
    expect(choose()).toBe('nearer');
    here.membership.become(nearer.id, 'suspect');
    expect(choose()).toBe('near');
    here.membership.become(near.id, 'unreachable');
    expect(choose()).toBe('unmeasured');
    here.membership.become(unmeasured.id, 'removed');
    expect(choose()).toBe('far');
    here.membership.become(far.id, 'left');
    expect(choose()).toBe('nearer');
    await here.registry.register('own', handler, { capabilities: ['x'] });
    expect(choose()).toBe('own');
  });
});
