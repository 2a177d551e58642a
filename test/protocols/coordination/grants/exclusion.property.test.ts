/**
 * Whatever fails, and however long processes sleep: never do two hold a lock at once by their own judgement, and every holder has a higher
 * token than those before. Agreed time goes with the clocks here; what happens when it jumps is for tokens to mend.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { QuorateError } from '../../../../src/errors.ts';
import type { Lock } from '../../../../src/protocols/coordination/grants/grants.ts';
import { OrderedGrants } from '../../../../src/protocols/coordination/grants/ordered-grants.ts';
import { GrantReducer } from '../../../../src/protocols/coordination/grants/reducer.ts';
import { type Fault, SharedOrder, settle } from '../local-tools.ts';

type Action =
  | { readonly do: 'lock'; readonly by: number; readonly timeoutMs: number; readonly leaseMs: number }
  | { readonly do: 'release' | 'abort' | 'deafen' | 'undeafen' | 'heal'; readonly by: number }
  | { readonly do: 'fail'; readonly by: number; readonly faults: readonly Fault[] }
  | { readonly do: 'pass' | 'sleep'; readonly ms: number }
  | { readonly do: 'late' };

const by = fc.nat(2);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('lock' as const),
      by,
      timeoutMs: fc.constantFrom(300, 3_000, 60_000),
      leaseMs: fc.constantFrom(500, 2_000, 10_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('release', 'abort', 'deafen', 'undeafen', 'heal', 'heal'), by }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      by,
      faults: fc.array(fc.constantFrom<Fault>('before', 'after', 'later'), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('pass' as const, 'pass' as const, 'sleep' as const),
      ms: fc.constantFrom(10, 300, 1_000, 3_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('late' as const) }) },
);

class World {
  readonly order = new SharedOrder([new GrantReducer()]);
  readonly nodes = [0, 1, 2].map(() => {
    const tools = this.order.node();
    return { id: tools.self, grants: new OrderedGrants(tools) };
  });
  readonly locks: Lock[][] = [[], [], []];
  readonly aborts: AbortController[][] = [[], [], []];
  #highest = 0;
  granted = 0;

  check(): void {
    const held = this.locks.flat().filter((lock) => lock.held);
    expect(held.length).toBeLessThanOrEqual(1);
  }

  ask(who: number, timeoutMs: number, leaseMs: number): void {
    const abort = new AbortController();
    this.aborts[who]?.push(abort);
    this.nodes[who]?.grants.lock('door', { timeoutMs, leaseMs, signal: abort.signal }).then(
      (lock) => {
        this.granted += 1;
        this.locks[who]?.push(lock);
        // In the order in which they hear of it, those who still hold it have ever higher tokens.
        if (!lock.held) return;
        expect(lock.token).toBeGreaterThan(this.#highest);
        this.#highest = lock.token;
      },
      (error: unknown) => {
        const isExpected =
          error instanceof QuorateError || (error instanceof DOMException && error.name === 'AbortError');
        expect(isExpected).toBe(true);
      },
    );
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.order.clock.advance(Math.min(50, left));
      this.order.tick();
      await settle();
      this.check();
    }
  }

  async run(action: Action): Promise<void> {
    const { order } = this;
    switch (action.do) {
      case 'lock':
        this.ask(action.by, action.timeoutMs, action.leaseMs);
        break;
      case 'release':
        for (const lock of this.locks[action.by] ?? []) void lock.release();
        break;
      case 'abort':
        for (const abort of this.aborts[action.by]?.splice(0) ?? []) abort.abort();
        break;
      case 'fail':
        order.fail(this.#id(action.by), ...action.faults);
        break;
      case 'heal':
        order.heal(this.#id(action.by));
        break;
      case 'deafen':
        order.deafen(this.#id(action.by));
        break;
      case 'undeafen':
        order.undeafen(this.#id(action.by), { gap: true });
        break;
      case 'pass':
        await this.pass(action.ms);
        break;
      case 'sleep':
        // All processes stand still, and the log goes on before any of their timers fires.
        order.clock.sleep(action.ms);
        order.tick();
        break;
      case 'late':
        order.runLate();
        break;
    }
    await settle();
    this.check();
  }

  #id(who: number) {
    return (this.nodes[who] as (typeof this.nodes)[0]).id;
  }
}

it('never do two hold it at once, and it comes free again', async () => {
  let granted = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 40, size: 'max' }), async (actions) => {
      const world = new World();
      for (const one of actions) await world.run(one);
      granted += world.granted;
      // Everything heals; all locks are given back, and who still waits gets it and gives it back too.
      for (let round = 0; round < 3; round++) {
        for (const who of [0, 1, 2]) {
          for (const kind of ['heal', 'undeafen', 'abort', 'release'] as const) await world.run({ do: kind, by: who });
        }
      }
      world.order.runLate();
      await world.pass(25_000); // Withdrawals, releases, and what is left of leases.
      expect(await world.nodes[0]?.grants.inspect('door')).toBeUndefined();
    }),
    { numRuns: 100 },
  );
  expect(granted).toBeGreaterThan(50); // The actions are such that something happens.
}, 120_000);
