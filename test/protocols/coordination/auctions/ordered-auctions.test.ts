/** Auctions as callers use them, on nodes that share an order and whose connections fail when told so. */
import { afterEach, describe, expect, test } from 'vitest';
import { isQuorateError, type QuorateError } from '../../../../src/errors.ts';
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import type {
  Auction,
  AuctionOptions,
  AuctionState,
  Bidder,
} from '../../../../src/protocols/coordination/auctions/auctions.ts';
import { OrderedAuctions } from '../../../../src/protocols/coordination/auctions/ordered-auctions.ts';
import { AuctionReducer } from '../../../../src/protocols/coordination/auctions/reducer.ts';
import { readAuctionCertificate } from '../../../../src/protocols/coordination/auctions/statement.ts';
import { SharedOrder, settle } from '../local-tools.ts';

const bidMs = 1_000;
const sealed = { resource: 'gpu', mechanism: 'sealedBidSecondPrice', reserve: 100, bidMs } as const;
const english = { resource: 'gpu', mechanism: 'english', bidMs, reserve: 100, increment: 10 } as const;
const dutch = { resource: 'gpu', mechanism: 'dutch', startPrice: 300, stepBy: 100, stepMs: 100, reserve: 50 } as const;

class World {
  readonly order = new SharedOrder([new AuctionReducer()]);
  readonly homes = new Map<string, Bidder['node']>();
  readonly errors: unknown[] = [];
  readonly #running = new Set<OrderedAuctions>();

  /** A node and its agents; the same identity again is the same node after a restart. */
  node(agents: readonly string[], identity: Identity = createIdentity()): { auctions: OrderedAuctions } & Identity {
    for (const agent of agents) this.homes.set(agent, identity.id);
    const auctions = new OrderedAuctions({
      ...this.order.node(identity),
      locate: (agent) => {
        const node = this.homes.get(agent);
        return node && { node, zone: 'test' };
      },
      onError: (error) => this.errors.push(error),
    });
    this.#running.add(auctions);
    return { auctions, ...identity };
  }

  /** Agreed time passes, as validators make it known. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      await this.order.clock.advance(Math.min(left, 100));
      this.order.tick();
    }
    await settle();
  }

  stop(): void {
    for (const auctions of this.#running) auctions.stop();
  }
}

let world = new World();
afterEach(() => {
  world.stop();
  const { errors } = world;
  world = new World();
  expect(errors).toEqual([]);
});

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  const error = await promise.then(
    () => new Error('It succeeded.'),
    (reason: unknown) => reason,
  );
  if (!isQuorateError(error)) throw error;
  return error;
}

describe('sealed bids', () => {
  test('who bids reveals by itself; everybody sees the same result, and the certificate states it', async () => {
    const [a, b] = [world.node(['x']), world.node(['y', 'z'])];
    const auction = await a.auctions.auction({ ...sealed, id: 'gpu', bidders: ['x', 'y', 'z'] });
    expect(auction.terms).toMatchObject({
      resource: 'gpu',
      revealMs: 30_000,
      bidders: [{ agent: 'x', node: a.id }, {}, {}],
    });
    const there = await b.auctions.joinAuction('gpu');
    expect(await auction.bid(300, { as: 'x' })).toEqual({ agent: 'x', node: a.id, amount: 300 });
    await there.bid(700, { as: 'y' });
    await there.bid(450, { as: 'z' });
    await there.bid(460, { as: 'z' });
    const [one, other] = [auction.result(), there.result()];
    expect((await failure(auction.certificate())).code).toBe('NOT_SETTLED');
    await world.pass(bidMs);
    const result = await one;
    expect(result).toMatchObject({ sold: true, winner: { agent: 'y', node: b.id }, price: 460, unrevealed: [] });
    expect(await other).toEqual(result);
    const { opening: _, ...expected } = { opening: 0, auction: 'gpu', resource: 'gpu', ...result };
    expect(readAuctionCertificate(await there.certificate())).toEqual({
      ...expected,
      mechanism: 'sealedBidSecondPrice',
      reserve: 100,
    });
    expect(a.auctions.revealing + b.auctions.revealing).toBe(0);
  });

  test('a node that restarted reveals what it bid before, once it has joined again', async () => {
    const identity = createIdentity();
    const a = world.node([]);
    const b = world.node(['y'], identity);
    await a.auctions.auction({ ...sealed, id: 'gpu' });
    await (await b.auctions.joinAuction('gpu')).bid(700, { as: 'y' });
    b.auctions.stop();
    await world.pass(bidMs);
    expect((await a.auctions.inspectAuction('gpu')).phase).toBe('revealing');
    const again = world.node(['y'], identity);
    const auction = await again.auctions.joinAuction('gpu');
    expect(await auction.result()).toMatchObject({ winner: { agent: 'y' }, price: 100 });
  });

  test('a later life of the node replaces a bid although its clock is behind', async () => {
    const identity = createIdentity();
    const b = world.node(['y'], identity);
    const first = await b.auctions.auction({ ...sealed, id: 'gpu', bidMs: 100_000 });
    await first.bid(700, { as: 'y' });
    b.auctions.stop();
    world.order.clock.jumpWall(-50_000);
    const again = await world.node(['y'], identity).auctions.joinAuction('gpu');
    await again.bid(200, { as: 'y' });
    await world.pass(160_000);
    expect(await again.result()).toMatchObject({ bids: [{ agent: 'y', amount: 200 }] });
  });

  test('revealing gets through lost events and lost quorums', async () => {
    const a = world.node(['x']);
    const auction = await a.auctions.auction({ ...sealed });
    await auction.bid(300, { as: 'x' });
    world.order.deafen(a.id);
    world.order.fail(a.id, 'before', 'before');
    const result = auction.result();
    await world.pass(bidMs + 1_500);
    world.order.heal(a.id);
    await world.pass(4_500);
    expect(await result).toMatchObject({ sold: true, price: 100 });
  });

  test('one that is told of a gap reads at once', async () => {
    const [a, b] = [world.node(['x']), world.node([])];
    const auction = await a.auctions.auction({ ...sealed });
    await auction.bid(300, { as: 'x' });
    world.order.deafen(a.id);
    await world.pass(bidMs);
    expect((await b.auctions.inspectAuction(auction.id)).phase).toBe('revealing');
    world.order.undeafen(a.id, { gap: true });
    await settle(); // No time passes.
    await settle();
    expect((await b.auctions.inspectAuction(auction.id)).phase).toBe('closed');
  });

  test('a bid whose outcome nobody hears counts once; one that comes late replaces nothing', async () => {
    const a = world.node(['x']);
    const auction = await a.auctions.auction({ ...sealed });
    world.order.fail(a.id, 'after');
    const bid = auction.bid(300, { as: 'x' });
    await world.pass(200);
    await bid;
    world.order.fail(a.id, 'later', 'later');
    const first = auction.bid(900, { as: 'x', timeoutMs: 150 });
    const unknown = failure(first);
    await world.pass(200);
    expect((await unknown).code).toBe('UNKNOWN_OUTCOME');
    world.order.heal(a.id);
    await auction.bid(200, { as: 'x' });
    world.order.runLate();
    await world.pass(bidMs);
    expect(await auction.result()).toMatchObject({ bids: [{ amount: 200 }], price: 100 });
  });

  test('who does not reveal is out: the result comes with the end of the phase', async () => {
    const [a, b] = [world.node(['x']), world.node(['y'])];
    const auction = await a.auctions.auction({ ...sealed, id: 'gpu', revealMs: 500 });
    await auction.bid(300, { as: 'x' });
    await (await b.auctions.joinAuction('gpu')).bid(700, { as: 'y' });
    b.auctions.stop();
    await world.pass(bidMs + 500);
    expect(await auction.result()).toMatchObject({
      winner: { agent: 'x' },
      price: 100,
      unrevealed: [{ agent: 'y', node: b.id }],
    });
  });
});

describe('English and Dutch', () => {
  test('English: outbid is told with the minimum; the last one stands', async () => {
    const [a, b] = [world.node(['x']), world.node(['y'])];
    const auction = await a.auctions.auction({ ...english, id: 'gpu' });
    const there = await b.auctions.joinAuction('gpu');
    await auction.bid(100, { as: 'x' });
    expect(await failure(there.bid(105, { as: 'y' }))).toMatchObject({
      code: 'CONFLICT',
      data: { minimum: 110, highest: 100 },
    });
    await there.bid(110, { as: 'y' });
    const result = auction.result();
    await world.pass(bidMs);
    expect(await result).toMatchObject({ winner: { agent: 'y' }, price: 110 });
    expect(await failure(auction.bid(500, { as: 'x' }))).toMatchObject({
      code: 'NOT_PERMITTED',
      data: { reason: 'bidding-is-over' },
    });
  });

  test('Dutch: taking pays the price of the moment', async () => {
    const a = world.node(['x']);
    const auction = await a.auctions.auction(dutch);
    expect(await failure(auction.bid(250, { as: 'x' }))).toMatchObject({ code: 'CONFLICT', data: { minimum: 300 } });
    await world.pass(100);
    expect(await auction.bid(250, { as: 'x' })).toMatchObject({ amount: 200 });
    expect(await auction.result()).toMatchObject({ price: 200 });
  });
});

describe('following', () => {
  test('watching tells how it stands from now to the end, and ends by itself', async () => {
    const a = world.node(['x']);
    const auction = await a.auctions.auction(english);
    const seen: AuctionState[] = [];
    const watching = (async () => {
      for await (const state of auction.watch()) seen.push(state);
    })();
    await settle();
    await auction.bid(100, { as: 'x' });
    await settle();
    await world.pass(bidMs);
    await watching;
    expect(seen.map(({ phase, minimum }) => [phase, minimum])).toEqual([
      ['bidding', 100],
      ['bidding', 110],
      ['closed', 100],
    ]);
    expect(seen[1]?.leader).toMatchObject({ agent: 'x', amount: 100 });
    expect(seen[2]?.bids).toEqual(seen[2]?.result?.bids);
  });

  test('watching ends with its signal, and with the loop', async () => {
    const a = world.node([]);
    const auction = await a.auctions.auction(english);
    const aborter = new AbortController();
    const states = auction.watch({ signal: aborter.signal })[Symbol.asyncIterator]();
    expect((await states.next()).done).toBe(false);
    const next = states.next();
    aborter.abort();
    expect((await next).done).toBe(true);
    for await (const { phase } of auction.watch()) {
      expect(phase).toBe('bidding');
      break;
    }
    await settle();
    expect(world.order.clock.timers).toBe(0);
  });

  test('a wait for the result has an end, and can be broken off', async () => {
    const a = world.node([]);
    const auction = await a.auctions.auction({ ...english, bidMs: 60_000 });
    const reason = new Error('enough');
    await expect(auction.result({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const late = failure(auction.result({ timeoutMs: 300 }));
    await world.pass(300);
    expect(await late).toMatchObject({ code: 'TIMED_OUT', data: { name: auction.id, afterMs: 300 } });
    expect(world.order.clock.timers).toBe(0);
  });

  test('open auctions are listed, page by page, finished ones not', async () => {
    const nodes = [world.node([]), world.node([]), world.node(['x'])];
    for (let n = 0; n < 250; n++) {
      await nodes[n % 3]?.auctions.auction({ ...english, id: `a${n}`, ...(n === 7 ? { bidders: ['x'] } : {}) });
    }
    const listed = await (nodes[0] as { auctions: OrderedAuctions }).auctions.openAuctions();
    expect(listed.map(({ id }) => id)).toEqual(Array.from({ length: 250 }, (_, n) => `a${n}`));
    expect(listed[7]).toMatchObject({ mechanism: 'english', phase: 'bidding', named: true });
    await world.pass(bidMs);
    expect(await nodes[0]?.auctions.openAuctions()).toEqual([]);
    expect(await nodes[0]?.auctions.inspectAuction('a249')).toMatchObject({ phase: 'closed', result: { sold: false } });
  });
});

describe('what is refused', () => {
  test('terms that are none, with every wrong field', async () => {
    const { auctions } = world.node([]);
    const wrong = { ...sealed, bidMs: 0.5, reserve: -1, revealMs: 0 };
    expect(await failure(auctions.auction(wrong))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      data: { fields: { bidMs: expect.any(String), reserve: expect.any(String), revealMs: expect.any(String) } },
    });
    const others: object[] = [
      { ...english, hardEndMs: 1 },
      { ...dutch, reserve: 301 },
      { ...dutch, startPrice: 100_000, stepBy: 1, reserve: 0 },
      { ...dutch, bidMs },
      { ...sealed, mechanism: 'raffle' },
      { ...sealed, id: '' },
      { ...sealed, bidders: [] },
      { ...sealed, resource: 'x'.repeat(20_000) },
    ];
    for (const options of others) {
      expect((await failure(auctions.auction(options as AuctionOptions))).code).toBe('INVALID_ARGUMENT');
    }
    expect((await failure(auctions.auction({ ...sealed, resource: (() => 1) as never }))).code).toBe(
      'UNSUPPORTED_VALUE',
    );
  });

  test('an id with other terms, a bidder nobody has, an auction that is not there', async () => {
    const { auctions } = world.node(['x']);
    const first = await auctions.auction({ ...sealed, id: 'gpu' });
    expect((await auctions.auction({ ...sealed, id: 'gpu' })).terms).toEqual(first.terms);
    expect(await failure(auctions.auction({ ...sealed, id: 'gpu', reserve: 1 }))).toMatchObject({
      code: 'ALREADY_EXISTS',
      data: { id: 'gpu' },
    });
    expect((await failure(auctions.auction({ ...sealed, bidders: ['nobody'] }))).code).toBe('NOT_FOUND');
    expect((await failure(auctions.joinAuction('nothing'))).code).toBe('NOT_FOUND');
    expect((await failure(auctions.inspectAuction('nothing'))).code).toBe('NOT_FOUND');
  });

  test('bids for an agent that lives elsewhere or was not invited, and amounts that are none', async () => {
    const [a, b] = [world.node(['x']), world.node(['y'])];
    const open = await a.auctions.auction(sealed);
    const named = await a.auctions.auction({ ...sealed, bidders: ['x', 'y'] });
    const refused = async (auction: Auction, as: string): Promise<unknown> => {
      const { code, data } = await failure(auction.bid(100, { as }));
      return [code, data['reason']];
    };
    expect(await refused(open, 'y')).toEqual(['NOT_PERMITTED', 'lives-elsewhere']);
    expect(await refused(named, 'y')).toEqual(['NOT_PERMITTED', 'not-invited']);
    expect(await refused(named, 'z')).toEqual(['NOT_PERMITTED', 'not-invited']);
    for (const amount of [-1, 0.5, Number.NaN, 2 ** 53, '5' as never]) {
      expect((await failure(open.bid(amount, { as: 'x' }))).code).toBe('INVALID_ARGUMENT');
    }
    // An agent that moved after the opening still bids from where it was invited.
    world.homes.set('x', b.id);
    await named.bid(100, { as: 'x' });
    expect(await refused(await b.auctions.joinAuction(named.id), 'x')).toEqual(['NOT_PERMITTED', 'not-invited']);
  });

  test('a handle of an auction that is forgotten does not bid in a new one of the same id', async () => {
    const { auctions } = world.node(['x']);
    const old = await auctions.auction({ ...english, id: 'gpu' });
    await world.order.clock.advance(5_000_000);
    world.order.tick();
    world.order.tick();
    await auctions.auction({ ...english, id: 'other' });
    await world.order.clock.advance(5_000_000);
    world.order.tick();
    const fresh = await auctions.auction({ ...english, id: 'gpu', reserve: 5 });
    expect((await failure(old.bid(100, { as: 'x' }))).code).toBe('NOT_FOUND');
    expect((await failure(old.result())).code).toBe('NOT_FOUND');
    await fresh.bid(100, { as: 'x' });
  });

  test('opening reports NO_QUORUM, and mends an outcome nobody heard', async () => {
    const { auctions, id } = world.node([]);
    world.order.fail(id, 'before');
    expect((await failure(auctions.auction(sealed))).code).toBe('NO_QUORUM');
    world.order.heal(id);
    world.order.fail(id, 'after');
    const opening = auctions.auction(sealed);
    await world.pass(200);
    expect((await opening).terms.mechanism).toBe('sealedBidSecondPrice');
    expect(await auctions.openAuctions()).toHaveLength(1);
  });
});
