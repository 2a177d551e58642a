/** A member that writes what it likes into the stores of variables, breakers, limits, monitors and alerts, while honest nodes use all of them. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { defaultFeedLimits } from '../../src/crdt/limits.ts';
import { isQuorateError } from '../../src/errors.ts';
import type { Mesh } from '../../src/mesh.ts';
import { encodeReport, silentReport } from '../../src/protocols/infrastructure/breaker/report.ts';
import { encodeLimitEntry } from '../../src/protocols/infrastructure/limiter/limit-entries.ts';
import { DDSketch } from '../../src/protocols/infrastructure/monitor/ddsketch.ts';
import type { Alert } from '../../src/protocols/infrastructure/monitor/monitor.ts';
import { alertValue, monitorValue } from '../../src/protocols/infrastructure/monitor/monitor-entries.ts';
import { measureDigest, resolveMonitorOptions } from '../../src/protocols/infrastructure/monitor/monitor-options.ts';
import { selfKey, selfValue } from '../../src/protocols/membership/entries.ts';
import type { CallContext } from '../../src/protocols/messaging/messaging.ts';
import { Allowance } from '../../src/protocols/replication/allowance.ts';
import { digestOf } from '../../src/protocols/variables/definition.ts';
import { writeContribution, writeDefinition } from '../../src/protocols/variables/entries.ts';
import type { AnnouncedVariable } from '../../src/protocols/variables/variables.ts';
import type { Value } from '../../src/value.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { HonestMesh } from './honest-mesh.ts';

const mesh = 'shared-state';
const count = 3;
type Store = 'variables' | 'counters';
type Fields = { readonly [key: string]: Value };
/** Undefined: deleted. */
type Entries = { readonly [key: string]: Value };
const answers = {
  id: 'answers',
  metric: 'answerMs',
  aggregation: 'p50',
  windowMs: 300_000,
  thresholds: { warning: 1_000, critical: 5_000 },
  notify: { agents: ['pager'], method: 'alert' },
} as const;
const stamp = (ms: number): number => ms * 2_048;

let honest: HonestMesh;
const alerts: Alert[][] = [];
const told: { readonly agent: string; readonly value: unknown; readonly by: unknown }[] = [];
const paged: Alert[] = [];

beforeAll(async () => {
  honest = await HonestMesh.start(mesh, count);
  const [first] = honest.nodes.map(({ mesh: node }) => node);
  const variableChanged = (notice: { readonly value: unknown }, { callerNode }: CallContext): void =>
    void told.push({ agent: 'listener', value: notice.value, by: callerNode });
  await first?.registry.register('listener', { variableChanged }, { capabilities: ['listens'] });
  await first?.registry.register('pager', { alert: (alert: Alert) => void paged.push(alert) }, { capabilities: [] });
  for (const { mesh: node } of honest.nodes) {
    const heard: Alert[] = [];
    alerts.push(heard);
    node.on('alert', (alert) => void heard.push(alert));
    use(node);
  }
  for (const [index, { mesh: node }] of honest.nodes.entries()) {
    await node.variables.get('shared')?.set(0.9 + index / 10);
    await node.variables.get('model')?.set('good');
    for (let ms = 1; ms <= 40; ms++) monitorOf(node).record(ms);
  }
  await pollUntil(() =>
    honest.nodes.every(({ mesh: node }) => node.variables.get('shared')?.contributions().length === count),
  );
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => monitorOf(node).status().samples === 40 * count));
});
afterAll(() => honest.stop());

/** As an honest program uses its node. */
function use(node: Mesh): void {
  node.variables.float('shared', { min: 0, max: 2, default: 1, resolve: 'median', affects: ['listener'] });
  node.variables.choice('model', { choices: ['fast', 'good'], default: 'fast', threshold: 0.2, cooldownMs: 10 });
  node.infrastructure.circuitBreaker({ id: 'guard', agent: 'worker-0', failureThreshold: 4 });
  node.infrastructure.rateLimiter({ id: 'limit', requestsPerSecond: 100 });
  monitorOf(node);
}

function monitorOf(node: Mesh): ReturnType<Mesh['infrastructure']['monitor']> {
  return node.infrastructure.monitor(answers);
}

async function member(): Promise<Attacker> {
  const attacker = await Attacker.start({ mesh });
  await attacker.join(...honest.addresses);
  attacker.becomeMember();
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id)?.state === 'alive'));
  return attacker;
}

/** What an author may send without being refused, somewhat less: what is refused would be missing, and nothing after it be heard. */
const allowances = new WeakMap<Attacker, Allowance>();

async function write(attacker: Attacker, store: Store, entries: Entries): Promise<void> {
  const allowance = allowances.get(attacker) ?? new Allowance(realClock, 800, 1_000);
  allowances.set(attacker, allowance);
  if (attacker.store.head(attacker.id, store) === undefined) {
    // A feed begins with a snapshot of all there is, and a large one is not broadcast.
    attacker.store.set(store, 'begin', 1);
    attacker.publish(...attacker.store.flush());
  }
  for (const [key, value] of Object.entries(entries)) {
    if (value === undefined) attacker.store.delete(store, key);
    else attacker.store.set(store, key, value);
  }
  for (const bytes of attacker.store.flush()) {
    if (allowance.left <= 0) await pollUntil(() => allowance.left > 0);
    allowance.take(Math.max(1, bytes.length / defaultFeedLimits.usualEnvelopeBytes));
    attacker.publish(bytes);
  }
}

/** Its feeds have arrived everywhere as they stand. */
async function isHeard(attacker: Attacker): Promise<void> {
  for (const store of ['variables', 'counters'] as const) {
    const head = attacker.store.head(attacker.id, store);
    if (head === undefined) continue;
    const reached = ({ mesh: node }: (typeof honest.nodes)[number]): boolean =>
      node.status().feeds.some((feed) => feed.author === attacker.id && feed.store === store && feed.seq === head.seq);
    await pollUntil(() => honest.nodes.every(reached));
  }
}

async function leaves(attacker: Attacker): Promise<void> {
  attacker.leave();
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id)?.state === 'left'));
  await attacker.stop();
}

/** What docs/guarantees.md says of all of it with one liar among four. */
async function holds(): Promise<void> {
  await honest.isWell();
  for (const { mesh: node } of honest.nodes) {
    // Between the honest values, since less than half of the weight lies.
    await pollUntil(() => {
      const value = node.variables.get('shared')?.value as number;
      return value >= 0.9 && value <= 0.9 + (count - 1) / 10 + 1e-9;
    });
    await pollUntil(() => node.variables.get('model')?.value === 'good');
    expect(node.infrastructure.breaker('guard')?.state()).toBe('closed');
    const p50 = monitorOf(node).percentile(50) as number;
    expect(p50).toBeGreaterThan(4);
    expect(p50).toBeLessThan(36);
  }
}

/** Anything that can be put into an entry, and what is almost right. */
const strange = fc.oneof(
  fc.constantFrom<Value>(Number.NaN, Infinity, -Infinity, -0, 1e308, -1, 2 ** 53, '', true, null, [], {}, new Map()),
  fc.constantFrom<Value>(new Date(8.64e15), 2n ** 100n, new Uint8Array(300), 'x'.repeat(500)),
  fc.anything({ maxDepth: 2, withTypedArray: false }).filter(isStorable) as fc.Arbitrary<Value>,
);

function isStorable(value: unknown): boolean {
  try {
    structuredClone(value);
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

/** One of the fields is something else, or is missing. */
function mutated(valid: Fields): fc.Arbitrary<Value> {
  return fc
    .record({ field: fc.constantFrom(...Object.keys(valid)), value: fc.option(strange, { nil: undefined }) })
    .map(({ field, value }) => ({ ...valid, [field]: value }));
}

/** Valid entries that are about what honest nodes have; `n` makes each another one. */
function lies(attacker: Attacker, n = 0): { readonly variables: Entries; readonly counters: Entries } {
  const wallNow = Date.now();
  const definition = (name: string): { readonly [key: string]: Value } => {
    const { terms } = honest
      .node(0)
      .mesh.variables.announced()
      .find((one) => one.name === name) as AnnouncedVariable;
    return terms;
  };
  const contribution = (name: string, value: Value): Value =>
    writeContribution({
      value,
      weight: 1,
      performance: 1,
      at: stamp(wallNow) + n,
      version: 1,
      digest: digestOf(definition(name)),
      held: { value, since: stamp(wallNow) + n },
    });
  const sketch = new DDSketch();
  for (let n = 0; n < 5_000; n++) sketch.add(1e6);
  const alike = (name: string): Value =>
    writeDefinition({ version: 1, facts: definition(name), at: stamp(wallNow) + n });
  return {
    variables: {
      'c/shared': contribution('shared', n % 2 === 0 ? 2 : 0),
      'c/model': contribution('model', 'fast'),
      'd/shared': n % 2 === 0 ? alike('shared') : undefined,
      'd/model': alike('model'),
      'a/shared': n % 2 === 0 ? { version: n } : undefined,
    },
    counters: {
      'monitor/answers': monitorValue({
        digest: measureDigest(resolveMonitorOptions(answers)),
        birth: wallNow - n,
        measured: { sketch, coveredMs: n },
      }),
      'alert/answers': alertValue({
        incident: `invented ${n}`,
        level: 'critical',
        previous: 'ok',
        change: 1,
        value: 9_999,
        threshold: 5_000,
        at: wallNow + n,
        raisedBy: n % 2 === 0 ? honest.node(n % count).id : attacker.id,
        told: n % 3 === 0,
      }),
      'breaker/guard/worker-0': encodeReport({
        ...silentReport,
        generation: n % 5,
        failures: 1e9,
        sequence: n,
        open: { round: n, at: wallNow },
        failed: { round: n, slot: 0, since: 0, at: wallNow },
        tripped: { until: undefined },
      }),
      'limit/limit': encodeLimitEntry({ share: 1e9, demand: 1e9 - n, crowded: n % 2 === 0 }),
    },
  };
}

describe('a member that writes what it likes', () => {
  it('garbage and what is almost right, under every key', async () => {
    const attacker = await member();
    let stored = 0;
    for (const store of ['variables', 'counters'] as const) {
      for (const [key, valid] of Object.entries(lies(attacker)[store])) {
        const values = fc.sample(typeof valid === 'object' ? fc.oneof(strange, mutated(valid as Fields)) : strange, {
          numRuns: 60,
          seed: 7,
        });
        for (const value of values) {
          try {
            await write(attacker, store, { [key]: value, [`${key}/${stored % 50}`]: value });
            stored += 1;
          } catch (error) {
            // What its own encoder refuses cannot be said by anybody.
            expect(isQuorateError(error)).toBe(true);
          }
        }
        await write(attacker, store, { [key]: 'nothing' });
      }
    }
    expect(stored).toBeGreaterThan(500);
    await isHeard(attacker);
    await holds();
    for (const [index, { mesh: node }] of honest.nodes.entries()) {
      expect(honest.counted(index, /^infrastructure: malformed/)).toBeGreaterThan(50);
      expect(node.variables.get('shared')?.explain().ignored).toContainEqual({
        node: attacker.id,
        reason: 'malformed',
      });
    }
    await leaves(attacker);
  });

  it('what is well-formed and not true, changed hundreds of times: bounded, and alerts and agents hear little of it', async () => {
    const attacker = await member();
    const before = { alerts: alerts.map(({ length }) => length), paged: paged.length, told: told.length };
    const began = performance.now();
    const rounds = 300;
    for (let n = 0; n < rounds; n++) {
      const { variables, counters } = lies(attacker, n);
      await write(attacker, 'variables', variables);
      await write(attacker, 'counters', counters);
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await isHeard(attacker);
    await holds();
    const seconds = (performance.now() - began) / 1_000;
    for (const [index, heard] of alerts.entries()) {
      // Each of 20 a second may end one incident and begin another.
      expect(heard.length - (before.alerts[index] as number)).toBeLessThanOrEqual(40 * (seconds + 1));
    }
    // The owner judges every 3 s, and each time may carry a false alert on, end one, and tell its own.
    expect(paged.length - before.paged).toBeLessThanOrEqual(3 * (seconds / 3 + 2));
    expect(told.length - before.told).toBeLessThanOrEqual(2 * rounds);
    await leaves(attacker);
  });

  it('as much as a feed may hold: what others announce is still seen, and calls go on', async () => {
    const attacker = await member();
    const { 'd/model': definition } = lies(attacker).variables;
    const many = (prefix: string, keys: number, value: Value): Entries =>
      Object.fromEntries(Array.from({ length: keys }, (_, n) => [`${prefix}${n}`, value]));
    await write(attacker, 'variables', { ...many('x/', 40_000, 1), ...many('d/invented ', 3_000, definition) });
    await write(attacker, 'counters', { ...many('breaker/guard/', 30_000, 0), ...many('limit/limit/', 30_000, 0) });
    await isHeard(attacker);
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.variables.announced().length >= 1_000));
    for (const [index, { mesh: node }] of honest.nodes.entries()) {
      expect(honest.counted(index, /^variables: too many changes/)).toBeGreaterThan(10_000);
      const names = node.variables.announced().map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(['shared', 'model']));
      expect(names.length).toBeLessThanOrEqual(1_002);
      expect(node.status().infrastructure.breakers[0]?.agents).toHaveLength(1);
    }
    await holds();
    await leaves(attacker);
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.variables.announced().length === 2));
  });

  it('definitions that affect everybody: nobody acts on what it has not defined itself', async () => {
    const attacker = await member();
    const { terms } = honest
      .node(0)
      .mesh.variables.announced()
      .find(({ name }) => name === 'shared') as AnnouncedVariable;
    const before = told.length;
    const facts = { ...terms, affects: { agents: {}, method: 'variableChanged' } };
    const digest = digestOf(facts);
    const at = stamp(Date.now());
    const value = { value: 2, weight: 1, performance: 1, at, version: 1, digest, held: undefined };
    await write(attacker, 'variables', {
      'd/trap': writeDefinition({ version: 1, facts, at }),
      'c/trap': writeContribution(value),
      'a/trap': true,
    });
    await isHeard(attacker);
    await pollUntil(() =>
      honest.nodes.every(({ mesh: node }) => node.variables.announced().some(({ name }) => name === 'trap')),
    );
    await holds();
    for (const { mesh: node } of honest.nodes) expect(node.variables.get('trap')).toBeUndefined();
    expect(told.slice(before)).toEqual([]);
    const ids = new Set<unknown>(honest.nodes.map(({ id }) => id));
    expect(told.filter(({ by }) => !ids.has(by))).toEqual([]);
    await leaves(attacker);
  });

  it('back-dated definitions: two honest nodes keep their variable, one alone is told who has taken it, once, until that one is gone', async () => {
    const attacker = await member();
    const { mesh: alone } = honest.node(1);
    using lonely = alone.variables.choice('lonely', { choices: ['a', 'b'], default: 'a' });
    await lonely.set('b');
    const termsOf = (name: string): Fields =>
      (alone.variables.announced().find((one) => one.name === name) as AnnouncedVariable).terms;
    const back = (name: string, changes: Fields): Value =>
      writeDefinition({ version: 1, facts: { ...termsOf(name), ...changes }, at: 1 });
    const reported: string[] = [];
    for (const { mesh: node } of honest.nodes) node.on('definitionConflict', ({ variable }) => reported.push(variable));
    for (let n = 0; n <= 40; n++) {
      const isThere = n % 2 === 0;
      await write(attacker, 'variables', {
        'd/model': isThere ? back('model', { [`field ${n}`]: n, choices: ['mine'] }) : undefined,
        'd/lonely': isThere ? back('lonely', { [`field ${n}`]: n, choices: ['mine'] }) : undefined,
      });
      await isHeard(attacker);
    }
    await pollUntil(() => lonely.conflict !== undefined);
    expect(lonely.conflict).toMatchObject({ code: 'DEFINITION_CONFLICT', data: { node: attacker.id } });
    expect(lonely.value).toBe('b');
    await expect(lonely.set('a')).rejects.toThrow(attacker.id);
    expect(reported.filter((name) => name === 'lonely').length).toBeLessThanOrEqual(2);
    expect(reported).not.toContain('model');
    for (const { mesh: node } of honest.nodes) {
      expect(node.variables.get('model')?.conflict).toBeUndefined();
      expect(node.variables.announced()).toContainEqual(
        expect.objectContaining({ name: 'model', definedBy: expect.objectContaining({ length: count }) }),
      );
    }
    await leaves(attacker);
    await pollUntil(() => lonely.conflict === undefined);
    await lonely.set('a');
    await holds();
  });

  it('claims on a limit: honest nodes keep what is documented', async () => {
    const attacker = await member();
    const limiters = honest.nodes.map(({ mesh: node }) =>
      node.infrastructure.rateLimiter({ id: 'limit', requestsPerSecond: 100 }),
    );
    const honestShare = (): number => limiters.reduce((sum, limiter) => sum + limiter.status().share, 0);
    const floor = 100 * (1 - 4 / (count + 1 + 3)) * 0.9;
    const spend = (): void => {
      for (const limiter of limiters) for (let k = 0; k < 5; k++) limiter.tryAcquire();
    };
    for (let n = 0; n < 20; n++) {
      const claim = encodeLimitEntry({ share: 1e9 - n, demand: 1e9, crowded: true });
      await write(attacker, 'counters', { 'limit/limit': claim });
      await isHeard(attacker);
      spend();
    }
    await pollUntil(() => {
      spend();
      return honestShare() >= floor;
    });
    expect(honestShare()).toBeLessThanOrEqual(105);
    await leaves(attacker);
    await pollUntil(() => {
      for (const limiter of limiters) limiter.tryAcquire();
      return honestShare() > 90;
    });
  });

  it('coming and going with a full feed: shown when it is paid for, and everybody else is not held up', async () => {
    const attacker = await member();
    const many = Object.fromEntries(Array.from({ length: 30_000 }, (_, n) => [`y${n}`, 1]));
    await write(attacker, 'variables', many);
    await isHeard(attacker);
    const info = { addresses: [], zone: 'default', roles: [], capacity: {}, version: '0.0.0', startedAt: 1 };
    for (let n = 2; n < 22; n++) {
      attacker.store.set('members', selfKey, selfValue({ ...info, incarnation: n }, n % 2 === 0));
      attacker.publish(...attacker.store.flush());
    }
    await holds();
    await attacker.stop();
    honest.nobodyWasCondemned();
  });
});
