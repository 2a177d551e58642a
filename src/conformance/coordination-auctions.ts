/**
 * What every implementation of auctions must do, as cases for any test runner.
 *
 * @example
 * import { test } from 'node:test';
 * import { auctionConformance } from 'quorate/conformance';
 * auctionConformance({ test, create: async () => ({ parties: [one, two, three], stop }) });
 */
import assert from 'node:assert/strict';
import type { NodeId } from '../node-id.ts';
import type { AuctionOptions, AuctionState, Auctions } from '../protocols/coordination/auctions/auctions.ts';
import { readAuctionCertificate } from '../protocols/coordination/auctions/statement.ts';
import { type Cases, type ConformanceOptions, declareCases, failure } from './suite.ts';

/** Somebody who takes part, from a node. */
export interface AuctionParty {
  readonly coordination: Auctions;
  readonly node: NodeId;
  /** Registers an agent here; resolves when all parties know of it. */
  register(agent: string): Promise<void>;
}

/** Fresh and empty. */
export interface AuctionSubject {
  /** On one node or on several, as the implementation has them. */
  readonly parties: readonly [AuctionParty, AuctionParty, AuctionParty];
  stop(): Promise<void>;
}

export type AuctionConformanceOptions = ConformanceOptions<AuctionSubject>;

/** Long enough for some bids on a machine that is busy with others. */
const bidMs = 3_000;
const timeoutMs = 60_000;
const sealed = { resource: { gpu: 7 }, mechanism: 'sealedBidSecondPrice', reserve: 100, bidMs, timeoutMs } as const;
const english = { resource: 'gpu', mechanism: 'english', reserve: 100, increment: 10, bidMs, timeoutMs } as const;
/** Its price falls to the reserve only after an hour: nothing in a case waits for it. */
const dutch = {
  resource: 'gpu',
  mechanism: 'dutch',
  startPrice: 500,
  reserve: 0,
  stepBy: 500,
  stepMs: 3_600_000,
  timeoutMs,
} as const;

/** Opens at the first party, bids each amount from the next one, and says winner's index and price, or 'unsold'. */
async function run(
  parties: AuctionSubject['parties'],
  options: AuctionOptions,
  amounts: readonly number[],
): Promise<readonly [number, number] | 'unsold'> {
  const { id } = await parties[0].coordination.auction(options);
  const names = parties.map((_, n) => `bidder-${n}`);
  // One after the other: of equal bids the earlier wins.
  for (const [n, amount] of amounts.entries()) {
    const { coordination, node } = parties[n] as AuctionParty;
    const auction = await coordination.joinAuction(id, { timeoutMs });
    const receipt = await auction.bid(amount, { as: names[n] as string, timeoutMs });
    assert.deepEqual([receipt.agent, receipt.node], [names[n], node]);
  }
  const results = await Promise.all(
    parties.map(async ({ coordination }) => (await coordination.joinAuction(id, { timeoutMs })).result({ timeoutMs })),
  );
  const [result] = results;
  for (const other of results) assert.deepEqual(other, result, 'everybody sees the same result');
  assert.deepEqual(result?.unrevealed, []);
  if (result?.winner === undefined) {
    assert.deepEqual([result?.sold, result?.price, result?.token], [false, undefined, undefined]);
    return 'unsold';
  }
  assert.equal(result.sold, true);
  assert.ok((result.token ?? 0) > 0);
  return [names.indexOf(result.winner.agent), result.price as number];
}

async function registerAll(parties: AuctionSubject['parties']): Promise<void> {
  for (const [n, party] of parties.entries()) await party.register(`bidder-${n}`);
}

const cases: Cases<AuctionSubject> = {
  'sealed bids: price, reserve and ties': async ({ parties }) => {
    await registerAll(parties);
    const outcomes = await Promise.all([
      run(parties, sealed, [300, 700, 450]),
      run(parties, { ...sealed, mechanism: 'sealedBidFirstPrice' }, [300, 700, 450]),
      run(parties, sealed, [300]),
      run(parties, sealed, [99, 20]),
      run(parties, sealed, []),
      run(parties, sealed, [300, 450, 450]),
    ]);
    assert.deepEqual(outcomes, [[1, 450], [1, 700], [0, 100], 'unsold', 'unsold', [1, 450]]);
  },

  'English: the last bid stands; a bid must exceed it by the increment': async ({ parties }) => {
    await registerAll(parties);
    const { id } = await parties[0].coordination.auction(english);
    const [first, second] = await Promise.all(
      parties.slice(0, 2).map(({ coordination }) => coordination.joinAuction(id, { timeoutMs })),
    );
    assert.ok(first !== undefined && second !== undefined);
    await first.bid(100, { as: 'bidder-0', timeoutMs });
    const { data } = await failure('CONFLICT', second.bid(109, { as: 'bidder-1', timeoutMs }));
    assert.equal(data['minimum'], 110);
    await second.bid(110, { as: 'bidder-1', timeoutMs });
    const result = await first.result({ timeoutMs });
    assert.deepEqual([result.winner?.agent, result.price], ['bidder-1', 110]);
    const refused = await failure('NOT_PERMITTED', first.bid(500, { as: 'bidder-0', timeoutMs }));
    assert.equal(refused.data['reason'], 'bidding-is-over');
  },

  'Dutch: the first who takes the price has it': async ({ parties }) => {
    await registerAll(parties);
    const { id } = await parties[0].coordination.auction(dutch);
    const auctions = await Promise.all(parties.map(({ coordination }) => coordination.joinAuction(id, { timeoutMs })));
    await failure('CONFLICT', (auctions[0] as (typeof auctions)[0]).bid(499, { as: 'bidder-0', timeoutMs }));
    const tries = await Promise.allSettled(
      auctions.map((auction, n) => auction.bid(900, { as: `bidder-${n}`, timeoutMs })),
    );
    const taken = tries.flatMap((one, n) => (one.status === 'fulfilled' ? [n] : []));
    assert.equal(taken.length, 1);
    for (const auction of auctions) {
      const { winner, price, bids } = await auction.result({ timeoutMs });
      assert.deepEqual([winner?.agent, price, bids.length], [`bidder-${taken[0]}`, 500, 1]);
    }
  },

  'fencing tokens rise from sale to sale': async ({ parties }) => {
    await registerAll(parties);
    const tokens: number[] = [];
    for (const { coordination } of parties) {
      const auction = await coordination.auction(dutch);
      await auction.bid(500, {
        as: `bidder-${parties.findIndex((party) => party.coordination === coordination)}`,
        timeoutMs,
      });
      tokens.push((await auction.result({ timeoutMs })).token ?? 0);
    }
    assert.ok((tokens[0] as number) > 0);
    assert.deepEqual(
      tokens,
      [...new Set(tokens)].sort((a, b) => a - b),
    );
  },

  'only those who are named bid, from the nodes they lived on at the opening': async ({ parties }) => {
    await registerAll(parties);
    const [a, b] = parties;
    const auction = await a.coordination.auction({ ...dutch, bidders: ['bidder-1'] });
    assert.deepEqual(auction.terms.bidders, [{ agent: 'bidder-1', node: b.node }]);
    const refused = await failure('NOT_PERMITTED', auction.bid(500, { as: 'bidder-0', timeoutMs }));
    assert.equal(refused.data['reason'], 'not-invited');
    await failure('NOT_FOUND', a.coordination.auction({ ...dutch, bidders: ['nobody'] }));
    const there = await b.coordination.joinAuction(auction.id, { timeoutMs });
    await there.bid(500, { as: 'bidder-1', timeoutMs });
  },

  'an id is one auction: the same terms join it, others are refused': async ({ parties: [a, b] }) => {
    const [one, other] = await Promise.all([
      a.coordination.auction({ ...dutch, id: 'gpu' }),
      b.coordination.auction({ ...dutch, id: 'gpu' }),
    ]);
    assert.deepEqual(one.terms, other.terms);
    const refused = await failure('ALREADY_EXISTS', b.coordination.auction({ ...dutch, id: 'gpu', stepBy: 1 }));
    assert.equal(refused.data['id'], 'gpu');
    await failure('NOT_FOUND', a.coordination.joinAuction('nothing', { timeoutMs }));
    await failure('NOT_FOUND', a.coordination.inspectAuction('nothing', { timeoutMs }));
    const listed = await b.coordination.openAuctions({ timeoutMs });
    assert.deepEqual(
      listed.map(({ id, mechanism, phase, named }) => [id, mechanism, phase, named]),
      [['gpu', 'dutch', 'bidding', false]],
    );
  },

  'terms and bids that are none are refused before anything happens': async ({ parties: [a] }) => {
    const { data } = await failure('INVALID_ARGUMENT', a.coordination.auction({ ...sealed, bidMs: 0, reserve: 0.5 }));
    assert.deepEqual(Object.keys(data['fields'] as object).sort(), ['bidMs', 'reserve']);
    await failure('INVALID_ARGUMENT', a.coordination.auction({ ...dutch, reserve: 501 }));
    assert.deepEqual(await a.coordination.openAuctions({ timeoutMs }), []);
    await a.register('bidder-0');
    const auction = await a.coordination.auction(dutch);
    for (const amount of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await failure('INVALID_ARGUMENT', auction.bid(amount, { as: 'bidder-0', timeoutMs }));
    }
  },

  'bidders bid by themselves, wherever they live': async ({ parties }) => {
    await registerAll(parties);
    const stops = parties.map(({ coordination }, n) =>
      coordination.bidder(`bidder-${n}`, (_, { minimum }) => Math.max(minimum, 100 * (n + 1)), { open: n === 0 }),
    );
    const [{ coordination }] = parties;
    const [named, open] = await Promise.all([
      coordination.auction({ ...sealed, bidders: ['bidder-1', 'bidder-2'] }),
      coordination.auction(sealed),
    ]);
    const [one, two] = await Promise.all([named.result({ timeoutMs }), open.result({ timeoutMs })]);
    assert.deepEqual([one.winner?.agent, one.price, one.bids.length], ['bidder-2', 200, 2]);
    assert.deepEqual([two.winner?.agent, two.price, two.bids.length], ['bidder-0', 100, 1]);
    for (const stop of stops) stop();
  },

  'watching tells how it stands, from now to the end': async ({ parties }) => {
    await registerAll(parties);
    const [a, b] = parties;
    const auction = await a.coordination.auction(english);
    const seen: AuctionState[] = [];
    for await (const state of (await b.coordination.joinAuction(auction.id, { timeoutMs })).watch()) {
      if (seen.length === 0) await auction.bid(250, { as: 'bidder-0', timeoutMs });
      seen.push(state);
    }
    assert.equal(seen[0]?.phase, 'bidding');
    const last = seen.at(-1);
    assert.deepEqual([last?.phase, last?.result?.price], ['closed', 250]);
    assert.deepEqual(await a.coordination.inspectAuction(auction.id, { timeoutMs }), last);
  },

  'the certificate states the result, once there is one': async ({ parties }) => {
    await registerAll(parties);
    const [a, b] = parties;
    const auction = await a.coordination.auction(dutch);
    await failure('NOT_SETTLED', auction.certificate({ timeoutMs }));
    await auction.bid(500, { as: 'bidder-0', timeoutMs });
    const result = await auction.result({ timeoutMs });
    const there = await b.coordination.joinAuction(auction.id, { timeoutMs });
    assert.deepEqual(readAuctionCertificate(await there.certificate({ timeoutMs })), {
      auction: auction.id,
      resource: 'gpu',
      mechanism: 'dutch',
      reserve: 0,
      ...result,
    });
  },
};

/** Declares all cases with `test`. */
export function auctionConformance(options: AuctionConformanceOptions): void {
  declareCases(options, cases);
}
