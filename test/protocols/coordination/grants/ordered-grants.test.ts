/** Handles of grants over nodes that share one order, time by hand, and connections that fail when told so. */
import { describe, expect, it } from 'vitest';
import { type ErrorCode, QuorateError } from '../../../../src/errors.ts';
import type { LeaderState } from '../../../../src/protocols/coordination/grants/commands.ts';
import { isAfter } from '../../../../src/protocols/coordination/grants/election.ts';
import type { Leader } from '../../../../src/protocols/coordination/grants/grants.ts';
import { OrderedGrants } from '../../../../src/protocols/coordination/grants/ordered-grants.ts';
import { GrantReducer } from '../../../../src/protocols/coordination/grants/reducer.ts';
import { MachineClient } from '../../../../src/protocols/coordination/machine/machine-client.ts';
import type { Ordering } from '../../../../src/protocols/coordination/ordering.ts';
import { localNode, SharedOrder, settle } from '../local-tools.ts';

function mesh(count = 3) {
  const order = new SharedOrder([new GrantReducer()]);
  const nodes = Array.from({ length: count }, () => {
    const tools = order.node();
    return { id: tools.self, tools, grants: new OrderedGrants(tools) };
  });
  /** Time passes, timers fire, and the log hears of it every 100 ms. */
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      await order.clock.advance(Math.min(100, left));
      order.tick();
      await settle();
    }
  };
  const [a, b, c] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  return { order, clock: order.clock, pass, a, b, c };
}

/** What has become of a promise by now. */
function watched<T>(promise: Promise<T>): { value?: T; error?: QuorateError } {
  const seen: { value?: T; error?: QuorateError } = {};
  promise.then(
    (value) => {
      seen.value = value;
    },
    (error) => {
      seen.error = error;
    },
  );
  return seen;
}

async function failure(code: ErrorCode, promise: Promise<unknown>): Promise<QuorateError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(QuorateError);
  expect((error as QuorateError).code).toBe(code);
  return error as QuorateError;
}

describe('a lock', () => {
  it('goes from one to the next, in order, with rising tokens', async () => {
    const { a, b, c } = mesh();
    const first = await a.grants.lock('door');
    const second = watched(b.grants.lock('door'));
    await settle();
    const third = watched(c.grants.lock('door'));
    await settle();
    expect([second, third]).toEqual([{}, {}]);

    await first.release();
    await settle();
    expect(first.held).toBe(false);
    expect(second.value?.held).toBe(true);
    expect(second.value?.token).toBeGreaterThan(first.token);
    expect(third).toEqual({});
    await second.value?.release();
    await settle();
    expect(third.value?.token).toBeGreaterThan(second.value?.token as number);
  });

  it('is released at the end of its block', async () => {
    const { a, b } = mesh();
    {
      await using lock = await a.grants.lock('door');
      expect(lock.held).toBe(true);
    }
    expect((await b.grants.lock('door', { wait: false })).held).toBe(true);
  });

  it('is not for a waiter whose time is over: the next who lives has it', async () => {
    const { a, b, c, pass } = mesh();
    const held = await a.grants.lock('door');
    const impatient = watched(b.grants.lock('door', { timeoutMs: 1_000 }));
    await settle();
    const patient = watched(c.grants.lock('door', { timeoutMs: 60_000 }));
    await pass(1_000);
    expect(impatient.error?.code).toBe('TIMED_OUT');
    expect(impatient.error?.data).toEqual({ name: 'door', afterMs: 1_000, holder: a.id, token: held.token });
    expect((await c.grants.inspect('door'))?.waiters.map(({ node }) => node)).toEqual([c.id]);
    await held.release();
    await settle();
    expect(patient.value?.held).toBe(true);
  });

  it('is not for a waiter who gave up, even if he was just granted', async () => {
    const { a, b, c, order } = mesh();
    const held = await a.grants.lock('door');
    const stop = new AbortController();
    const given = watched(b.grants.lock('door', { signal: stop.signal }));
    await settle();
    order.deafen(b.id);
    await held.release(); // Granted to b, who does not hear of it.
    stop.abort(new Error('enough'));
    await settle();
    expect(String(given.error)).toBe('Error: enough');
    expect((await c.grants.lock('door', { wait: false })).held).toBe(true);
    await expect(b.grants.lock('door', { signal: stop.signal })).rejects.toThrow('enough');
  });

  it('is refused at once to who does not want to wait', async () => {
    const { a, b } = mesh();
    const held = await a.grants.lock('door');
    const error = await failure('TIMED_OUT', b.grants.lock('door', { wait: false }));
    expect(error.data).toEqual({ name: 'door', afterMs: 0, holder: a.id, token: held.token });
    expect((await b.grants.inspect('door'))?.waiting).toBe(0);
  });

  it('is kept as long as its holder lives', async () => {
    const { a, b, pass } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 1_000 });
    const other = watched(b.grants.lock('door', { timeoutMs: 120_000 }));
    await pass(100_000);
    expect(held.held).toBe(true);
    expect(other).toEqual({});
    await held.release();
    await settle();
    expect(other.value?.held).toBe(true);
  });

  it('is lost by its own clock before anybody else can have it', async () => {
    const { a, b, order, clock } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 3_000 });
    const next = watched(b.grants.lock('door', { timeoutMs: 60_000 }));
    await settle();
    order.fail(a.id, ...Array.from({ length: 1_000 }, () => 'before' as const));
    let lostAt = 0;
    held.signal.addEventListener('abort', () => {
      lostAt = clock.now();
    });
    let grantedAt = 0;
    for (let ms = 0; ms < 6_000 && grantedAt === 0; ms += 10) {
      await clock.advance(10);
      order.tick();
      await settle();
      if (next.value !== undefined) grantedAt = clock.now();
    }
    expect(lostAt).toBeGreaterThan(0);
    expect(lostAt).toBeLessThan(grantedAt);
    expect(next.value?.token).toBeGreaterThan(held.token);
    expect(held.signal.reason).toMatchObject({ code: 'GRANT_LOST', data: { name: 'door', reason: 'lease-ended' } });
    expect(() => held.assertHeld()).toThrow('not held any more');
    await held.release(); // Nothing is left to release.
  });

  it('is kept through failing renewals, as long as one comes through in time', async () => {
    const { a, order, pass } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 10_000 });
    for (let round = 0; round < 5; round++) {
      order.fail(a.id, 'before', 'after', 'later', 'before', 'after');
      await pass(10_000);
      order.runLate();
      expect(held.held).toBe(true);
    }
  });

  it('is lost in the moment a process wakes up that slept for longer than its lease, timers or not', async () => {
    const { a, clock } = mesh();
    const held = await a.grants.lock('door');
    clock.sleep(8_999);
    expect(held.held).toBe(true);
    clock.sleep(1);
    expect(held.signal.aborted).toBe(false); // No timer has fired, nobody has looked.
    expect(held.held).toBe(false);
    expect(held.signal.aborted).toBe(true);
  });

  it('is lost when the machine was suspended, which only the wall clock knows', async () => {
    const { a, clock } = mesh();
    const held = await a.grants.lock('door');
    clock.jumpWall(9_000);
    expect(held.held).toBe(false);
  });

  it('is lost when the log says so, as far as the holder hears of it', async () => {
    const { a, order, clock } = mesh();
    const held = await a.grants.lock('door');
    clock.jumpWall(20_000);
    order.tick(); // Agreed time has jumped, as with a primary whose clock is ahead.
    clock.jumpWall(-20_000);
    expect(held.held).toBe(true);
    await clock.advance(3_400);
    expect(held.held).toBe(false);
    expect(held.signal.reason).toMatchObject({ code: 'GRANT_LOST', data: { reason: 'expired' } });
  });

  it('is not reentrant: who asks twice waits for himself', async () => {
    const { a, pass } = mesh();
    await a.grants.lock('door');
    const again = watched(a.grants.lock('door', { timeoutMs: 1_000 }));
    await pass(1_000);
    expect(again.error).toMatchObject({ code: 'TIMED_OUT', data: { holder: a.id } });
  });
});

describe('answers that come late', () => {
  /** A node whose answers wait until they are let through; its commands are ordered at once. */
  function slow() {
    const { order, clock, a, pass } = mesh();
    const tools = order.node();
    const { ordering } = tools.client;
    let gates: (() => void)[] | undefined;
    const late: Ordering = {
      ...ordering,
      submit: async (command, options) => {
        const answer = await ordering.submit(command, options);
        if (gates !== undefined) await new Promise<void>((open) => gates?.push(open));
        return answer;
      },
    };
    const grants = new OrderedGrants({ ...tools, client: new MachineClient(late) });
    const hold = (): void => {
      gates = [];
    };
    const letThrough = async (): Promise<void> => {
      for (const open of gates ?? []) open();
      gates = undefined;
      await settle();
    };
    return { clock, a, grants, pass, hold, letThrough };
  }

  it('a grant counts from when it was asked for', async () => {
    const { clock, grants, hold, letThrough } = slow();
    hold();
    const lock = watched(grants.lock('door'));
    clock.sleep(4_000);
    await settle();
    await letThrough();
    expect(lock.value?.held).toBe(true);
    clock.sleep(5_000);
    expect(lock.value?.held).toBe(false);
  });

  it('a renewal counts from when it was asked for', async () => {
    const { clock, grants, hold, letThrough } = slow();
    const lock = await grants.lock('door');
    hold();
    await clock.advance(3_400); // The renewal is under way since 3,333.
    clock.sleep(4_600);
    await letThrough();
    expect(lock.held).toBe(true);
    clock.sleep(4_000);
    expect(lock.held).toBe(true); // Thanks to the renewal: the first lease was over at 9,000.
    clock.sleep(400);
    expect(lock.held).toBe(false);
  });

  it('a grant that was waited for counts from its confirmation', async () => {
    const { clock, a, grants, hold, letThrough } = slow();
    const held = await a.grants.lock('door');
    const lock = watched(grants.lock('door'));
    await settle();
    hold();
    await held.release();
    await settle();
    expect(lock).toEqual({}); // Granted, and not confirmed yet.
    clock.sleep(4_000);
    await letThrough();
    expect(lock.value?.held).toBe(true);
    clock.sleep(5_000);
    expect(lock.value?.held).toBe(false);
  });

  it('a grant whose answer comes after its lease is asked for anew', async () => {
    const { clock, a, grants, hold, letThrough } = slow();
    hold();
    const lock = watched(grants.lock('door', { timeoutMs: 60_000 }));
    await settle();
    clock.sleep(20_000);
    const other = await a.grants.lock('door');
    await letThrough();
    expect(lock).toEqual({});
    await other.release();
    await settle();
    expect(lock.value?.held).toBe(true);
    expect(lock.value?.token).toBe(other.token + 1);
  });
});

describe('where outcomes are unknown', () => {
  it('an acquire that was ordered and not heard of is asked for again, and held once', async () => {
    const { a, order, pass } = mesh();
    order.fail(a.id, 'after');
    const lock = watched(a.grants.lock('door'));
    await pass(100);
    expect(lock.value?.held).toBe(true);
    expect((await a.grants.inspect('door'))?.holders).toHaveLength(1);
    await lock.value?.release();
    expect(await a.grants.inspect('door')).toBeUndefined();
  });

  it('an acquire that is ordered long after its caller left holds nothing', async () => {
    const { a, order, pass } = mesh();
    order.fail(a.id, ...Array.from({ length: 50 }, () => 'later' as const));
    const lock = watched(a.grants.lock('door', { timeoutMs: 2_000 }));
    await pass(2_000);
    expect(lock.error?.code).toBe('UNKNOWN_OUTCOME');
    order.heal(a.id);
    await pass(2_000); // The withdrawal comes through.
    order.runLate();
    expect(await a.grants.inspect('door')).toBeUndefined();
  });

  it('what was certainly not ordered is said to be so', async () => {
    const { a, order, pass } = mesh();
    order.fail(a.id, ...Array.from({ length: 50 }, () => 'before' as const));
    const lock = watched(a.grants.lock('door', { timeoutMs: 2_000 }));
    await pass(2_000);
    expect(lock.error?.code).toBe('NO_QUORUM');
  });

  it('one unknown outcome among certain ones leaves the outcome unknown', async () => {
    const { a, order, pass } = mesh();
    order.fail(a.id, 'later', ...Array.from({ length: 50 }, () => 'before' as const));
    const lock = watched(a.grants.lock('door', { timeoutMs: 2_000 }));
    await pass(2_000);
    expect(lock.error?.code).toBe('UNKNOWN_OUTCOME');
  });

  it('a waiter who hears nothing finds by looking that it is his turn', async () => {
    const { a, b, order, pass } = mesh();
    const held = await a.grants.lock('door');
    order.deafen(b.id);
    const next = watched(b.grants.lock('door'));
    await settle();
    await held.release();
    await settle();
    expect(next).toEqual({});
    await pass(2_100);
    expect(next.value?.held).toBe(true);
  });

  it('a waiter whose place was over while nobody could be reached asks anew', async () => {
    const { a, b, order, pass } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 600_000 });
    const next = watched(b.grants.lock('door', { timeoutMs: 300_000 }));
    await settle();
    order.fail(b.id, ...Array.from({ length: 100 }, () => 'before' as const));
    order.deafen(b.id);
    await pass(31_000);
    expect((await a.grants.inspect('door'))?.waiting).toBe(0);
    order.heal(b.id);
    order.undeafen(b.id, { gap: true });
    await pass(100);
    expect((await a.grants.inspect('door'))?.waiting).toBe(1);
    await held.release();
    await settle();
    expect(next.value?.held).toBe(true);
  });

  it('a waiter keeps his place for as long as he waits, and a dead one does not', async () => {
    const { a, b, c, order, pass } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 600_000 });
    const first = watched(b.grants.lock('door', { timeoutMs: 600_000 }));
    await settle();
    void watched(c.grants.lock('door', { timeoutMs: 600_000 }));
    await settle();
    order.fail(c.id, ...Array.from({ length: 1_000 }, () => 'before' as const));
    await pass(15_000);
    const last = watched(a.grants.lock('door', { timeoutMs: 600_000 }));
    await pass(105_000);
    expect((await a.grants.inspect('door'))?.waiters.map(({ node }) => node)).toEqual([b.id, a.id]);
    await held.release();
    await settle();
    expect(first.value?.held).toBe(true);
    expect(last).toEqual({});
  });

  it('who was granted before he heard that he waits says that he knows, for the whole lease', async () => {
    const { a, b, c, order, pass } = mesh();
    const held = await a.grants.lock('door');
    order.fail(b.id, 'after'); // He stands in line, and does not know.
    const next = watched(b.grants.lock('door', { leaseMs: 60_000 }));
    await settle();
    await held.release();
    await pass(15_000); // Longer than an unconfirmed grant, and no renewal is due.
    expect(next.value?.held).toBe(true);
    await failure('TIMED_OUT', c.grants.lock('door', { wait: false }));
  });

  it('a release resolves when the lease is over at the latest, and twice is once', async () => {
    const { a, b, order, pass } = mesh();
    const held = await a.grants.lock('door', { leaseMs: 2_000 });
    order.fail(a.id, ...Array.from({ length: 100 }, () => 'before' as const));
    const released = held.release();
    expect(held.release()).toBe(released);
    expect(held.held).toBe(false);
    const seen = watched(released.then(() => true));
    await pass(1_000);
    expect(seen).toEqual({});
    await pass(1_300);
    expect(seen).toEqual({ value: true });
    expect((await b.grants.lock('door', { wait: false })).held).toBe(true);
  });
});

describe('a semaphore', () => {
  it('lets in as many as it has permits, and counts what each takes', async () => {
    const { a, b, c } = mesh();
    const two = await a.grants.semaphore('gpu', { permits: 3, count: 2 });
    const one = await b.grants.semaphore('gpu', { permits: 3 });
    expect([two.count, one.count]).toEqual([2, 1]);
    const big = watched(c.grants.semaphore('gpu', { permits: 3, count: 2 }));
    await settle();
    const small = watched(b.grants.semaphore('gpu', { permits: 3 }));
    await one.release();
    await settle();
    expect([big, small]).toEqual([{}, {}]); // One is free, but the first in line wants two.
    await two.release();
    await settle();
    expect(big.value?.held).toBe(true);
    expect(small.value?.held).toBe(true);
  });

  it('says both numbers when two do not agree how many there are', async () => {
    const { a, b } = mesh();
    await a.grants.semaphore('gpu', { permits: 3 });
    const error = await failure('ALREADY_EXISTS', b.grants.semaphore('gpu', { permits: 4 }));
    expect(error.data).toMatchObject({ permits: 3, asked: 4 });
    expect((await failure('ALREADY_EXISTS', b.grants.lock('gpu'))).message).toContain('is a semaphore with 3 permits');
  });
});

describe('an election', () => {
  it('has one leader, whom all can see, and the next when he resigns', async () => {
    const { a, b, c, pass } = mesh();
    const election = c.grants.election('scheduler');
    expect(await election.leader()).toBeUndefined();
    const first = await a.grants.election('scheduler').campaign({ value: { at: 'a' } });
    expect(await election.leader()).toEqual({ node: a.id, token: first.token, value: { at: 'a' } });
    expect(first.value).toEqual({ at: 'a' });

    const second = watched(b.grants.election('scheduler').campaign());
    await pass(120_000); // No time-out of its own: it stands by.
    expect(second).toEqual({});
    await first.release();
    await settle();
    expect(second.value?.held).toBe(true);
    expect(await election.leader({ consistency: 'local' })).toEqual({
      node: b.id,
      token: second.value?.token,
      value: undefined,
    });
  });

  it('can be observed: the one of now, each next one, and that there is none', async () => {
    const { a, b, c, order, pass } = mesh();
    const stop = new AbortController();
    const terms = c.grants.election('scheduler').observe({ signal: stop.signal })[Symbol.asyncIterator]();
    const next = async (): Promise<Leader | undefined> => (await terms.next()).value as Leader | undefined;
    expect(await next()).toBeUndefined();

    const first = await a.grants.election('scheduler').campaign({ value: 1 });
    expect(await next()).toEqual({ node: a.id, token: first.token, value: 1 });
    await first.release();
    expect(await next()).toBeUndefined();
    const second = await b.grants.election('scheduler').campaign({ value: 2 });
    expect((await next())?.token).toBe(second.token);

    // Events that were lost are made up for, without what came in between.
    order.deafen(c.id);
    await second.release();
    await (await a.grants.election('scheduler').campaign({ value: 3 })).release();
    const fourth = await b.grants.election('scheduler').campaign({ value: 4 });
    const coming = watched(next());
    await pass(2_100);
    expect(coming.value).toEqual({ node: b.id, token: fourth.token, value: 4 });

    const last = terms.next();
    stop.abort();
    expect(await last).toEqual({ value: undefined, done: true });
  });

  it('is in the order of its terms, whatever comes late', () => {
    const led = (token: number) => ({ token, leader: { node: 'a', value: new Uint8Array() } });
    const vacant = (token: number) => ({ token });
    const inOrder: LeaderState[] = [led(3), vacant(3), led(5), led(6), vacant(9)];
    inOrder.forEach((state, at) => {
      inOrder.forEach((other, otherAt) => {
        expect(isAfter(state, other)).toBe(at > otherAt && (state.leader ?? other.leader) !== undefined);
      });
    });
  });

  it('does not take a long story for a value', async () => {
    const { a } = mesh();
    await failure('PAYLOAD_TOO_LARGE', a.grants.election('x').campaign({ value: 'x'.repeat(3_000) }));
    await failure('UNSUPPORTED_VALUE', a.grants.election('x').campaign({ value: (() => 1) as never }));
  });
});

describe('the provider', () => {
  it('says who holds and who waits, in order', async () => {
    const { a, b, c, clock } = mesh();
    const held = await a.grants.lock('door');
    void watched(b.grants.lock('door', { timeoutMs: 9_000 }));
    await settle();
    void watched(c.grants.lock('door', { timeoutMs: 9_000 }));
    await settle();
    expect(await b.grants.inspect('door')).toEqual({
      name: 'door',
      sort: 'lock',
      permits: 1,
      free: 0,
      holders: [{ node: a.id, token: held.token, count: 1, leaseEndsAt: clock.wallNow() + 10_000 }],
      waiters: [b, c].map(({ id }) => ({ node: id, count: 1, waitsUntil: clock.wallNow() + 10_900 })),
      waiting: 2,
    });
    expect(await b.grants.inspect('window')).toBeUndefined();
  });

  it('gives back what is held and ends what waits when it stops', async () => {
    const { a, b } = mesh();
    const door = await a.grants.lock('door');
    await b.grants.lock('window');
    const waiting = watched(a.grants.lock('window'));
    await settle();
    await a.grants.stop();
    await a.grants.stop();
    await settle();
    expect(door.held).toBe(false);
    expect(waiting.error?.code).toBe('STOPPED');
    expect((await b.grants.inspect('window'))?.waiting).toBe(0);
    expect((await b.grants.lock('door', { wait: false })).held).toBe(true);
    await failure('STOPPED', a.grants.lock('door'));
  });

  it('names everything that is wrong with what it was asked', async () => {
    const { a } = mesh();
    const lock = await failure(
      'INVALID_ARGUMENT',
      a.grants.lock('', { leaseMs: 1, timeoutMs: 0, wait: 1, signal: 1 } as never),
    );
    expect(Object.keys(lock.data['fields'] as object)).toEqual(['name', 'leaseMs', 'timeoutMs', 'signal', 'wait']);
    const semaphore = await failure('INVALID_ARGUMENT', a.grants.semaphore('x', { permits: 2, count: 3 }));
    expect(semaphore.data['fields']).toEqual({ count: 'must be a whole number from 1 to 2' });
    await failure('INVALID_ARGUMENT', a.grants.semaphore('x', {} as never));
    expect(() => a.grants.election('x'.repeat(257))).toThrow('1 to 256 characters');
    expect(await a.grants.inspect('x')).toBeUndefined();
  });

  it('leaves no timer behind', async () => {
    const { a, b, clock } = mesh();
    const held = await a.grants.lock('door');
    const next = b.grants.lock('door');
    await settle();
    await held.release();
    await (await next).release();
    await failure(
      'TIMED_OUT',
      (async () => {
        const again = await a.grants.lock('door');
        try {
          await b.grants.lock('door', { wait: false });
        } finally {
          await again.release();
        }
      })(),
    );
    expect(clock.timers).toBe(0);
  });

  it('works alone just as well, where deadlines come true by themselves', async () => {
    const { tools, clock, ordering } = localNode([new GrantReducer()]);
    const [grants, others] = [new OrderedGrants(tools), new OrderedGrants(tools)];
    const held = await grants.lock('door', { leaseMs: 1_000 });
    const next = watched(others.lock('door', { timeoutMs: 60_000 }));
    await clock.advance(10_000);
    expect(held.held).toBe(true);
    expect(next).toEqual({});
    clock.sleep(1_000); // The process stands still.
    expect(held.held).toBe(false);
    await clock.advance(1);
    await clock.advance(1);
    expect(next.value?.held).toBe(true);
    ordering.stop();
    await clock.advance(5_000);
    expect(next.value?.signal.reason).toMatchObject({ code: 'GRANT_LOST', data: { reason: 'stopped' } });
    await next.value?.release();
  });
});
