/** Agents that bid by themselves. */
import { afterEach, expect, test } from 'vitest';
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import type { BidAnswer } from '../../../../src/protocols/coordination/auctions/auctions.ts';
import { OrderedAuctions } from '../../../../src/protocols/coordination/auctions/ordered-auctions.ts';
import { AuctionReducer } from '../../../../src/protocols/coordination/auctions/reducer.ts';
import { SharedOrder, settle } from '../local-tools.ts';

const bidMs = 1_000;
const sealed = { resource: 'gpu', mechanism: 'sealedBidSecondPrice', reserve: 100, bidMs } as const;
const english = { resource: 'gpu', mechanism: 'english', bidMs, reserve: 100, increment: 10 } as const;
const dutch = { resource: 'gpu', mechanism: 'dutch', startPrice: 300, stepBy: 50, stepMs: 100, reserve: 50 } as const;

let order = new SharedOrder([new AuctionReducer()]);
let errors: string[] = [];
let running: OrderedAuctions[] = [];
const homes = new Map<string, Identity>();

function node(agents: readonly string[], identity = createIdentity()): OrderedAuctions {
  for (const agent of agents) homes.set(agent, identity);
  const auctions = new OrderedAuctions({
    ...order.node(identity),
    locate: (agent) => {
      const home = homes.get(agent);
      return home && { node: home.id, zone: 'test' };
    },
    onError: (error, where) => errors.push(`${where}: ${String(error)}`),
  });
  running.push(auctions);
  return auctions;
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    await order.clock.advance(Math.min(left, 100));
    order.tick();
  }
  await settle();
}

/** Bids up to what it is worth to it, and notes at which prices it was asked. */
function upTo(limit: number, asked: number[] = []): BidAnswer {
  return (_, { minimum }) => {
    asked.push(minimum);
    return minimum <= limit ? minimum : undefined;
  };
}

afterEach(() => {
  for (const auctions of running) auctions.stop();
  const seen = errors;
  const timers = order.clock.timers;
  order = new SharedOrder([new AuctionReducer()]);
  errors = [];
  running = [];
  homes.clear();
  expect(seen).toEqual([]);
  expect(timers).toBe(0);
});

test('sealed: those who are named are asked once, wherever they live, and reveal by themselves', async () => {
  const [a, b] = [node(['x', 'z']), node(['y'])];
  const asked: string[] = [];
  const worth =
    (value: number): BidAnswer =>
    (auction, { state }) => {
      asked.push(`${value} for ${String(auction.terms.resource)} in ${state.phase}`);
      return value;
    };
  a.bidder('x', worth(300));
  a.bidder('z', worth(999));
  b.bidder('y', worth(700));
  const auction = await a.auction({ ...sealed, bidders: ['x', 'y'] });
  const result = auction.result();
  await pass(bidMs);
  expect(await result).toMatchObject({ winner: { agent: 'y' }, price: 300, unrevealed: [] });
  expect(asked.sort()).toEqual(['300 for gpu in bidding', '700 for gpu in bidding']);
});

test('where nobody is named, only those bid that said so', async () => {
  const a = node(['x', 'y']);
  a.bidder('x', upTo(1_000));
  a.bidder('y', upTo(400), { open: true });
  const auction = await a.auction(sealed);
  await pass(bidMs);
  expect(await auction.result()).toMatchObject({ bids: [{ agent: 'y', amount: 100 }] });
});

test('English: asked again whenever another leads, until one has enough', async () => {
  const [a, b] = [node(['x']), node(['y'])];
  const asked: number[] = [];
  a.bidder('x', upTo(155, asked), { open: true });
  b.bidder('y', upTo(1_000), { open: true });
  const auction = await a.auction(english);
  await settle();
  await pass(bidMs);
  const { winner, price } = await auction.result();
  expect(winner).toMatchObject({ agent: 'y' });
  expect(price).toBeGreaterThanOrEqual(150);
  expect(price).toBeLessThanOrEqual(165);
  // The last question was above its limit, and it was not asked after that.
  expect(asked.at(-1)).toBeGreaterThan(155);
  expect(asked.filter((minimum) => minimum > 155)).toHaveLength(1);
});

test('Dutch: asked at each price, and takes the first that suits it', async () => {
  const a = node(['x', 'y']);
  const asked: number[] = [];
  a.bidder('x', upTo(120, asked), { open: true });
  a.bidder('y', () => 180, { open: true }); // Says its limit each time; above the price it is a bid.
  const auction = await a.auction(dutch);
  const result = auction.result();
  await pass(600);
  expect(await result).toMatchObject({ winner: { agent: 'y' }, price: 150 });
  expect(asked.slice(0, 3)).toEqual([300, 250, 200]);
});

test('one that begins later, or hears nothing, finds what is open', async () => {
  const [a, b] = [node(['x']), node(['y'])];
  const auction = await a.auction({ ...sealed, bidMs: 20_000 });
  b.bidder('y', upTo(1_000), { open: true });
  order.deafen(homes.get('x')?.id as never);
  a.bidder('x', () => 700, { open: true });
  const later = await b.auction({ ...sealed, bidMs: 20_000 });
  await pass(20_000);
  await pass(3_000);
  expect(await auction.result()).toMatchObject({ bids: [{ agent: 'x' }, { agent: 'y' }] });
  expect(await later.result()).toMatchObject({ bids: [{ agent: 'x' }, { agent: 'y' }] });
});

test('after a restart it reveals what it bid, and does not bid anew', async () => {
  const identity = createIdentity();
  const [a, b] = [node([]), node(['y'], identity)];
  const stop = b.bidder('y', () => 700, { open: true });
  const auction = await a.auction(sealed);
  await settle();
  stop();
  b.stop();
  const asked: number[] = [];
  node(['y'], identity).bidder('y', upTo(1_000, asked), { open: true });
  await pass(bidMs);
  expect(await auction.result()).toMatchObject({ bids: [{ agent: 'y', amount: 700 }] });
  expect(asked).toEqual([]);
});

test('an answer that comes too late is not waited for, and hears so', async () => {
  const a = node(['x', 'y']);
  let told: unknown;
  a.bidder(
    'x',
    (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          told = signal.reason;
          resolve(900);
        });
      }),
    { open: true },
  );
  a.bidder('y', upTo(500), { open: true });
  const auction = await a.auction(sealed);
  await pass(bidMs);
  await pass(2_000);
  expect(told).toBeInstanceOf(Error);
  expect(await auction.result()).toMatchObject({ bids: [{ agent: 'y' }] });
});

test('when stopped, it bids no more, and the signal of its answer aborts', async () => {
  const a = node(['x']);
  let aborted = false;
  const stop = a.bidder(
    'x',
    (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve(900);
        });
      }),
    { open: true },
  );
  await a.auction(sealed);
  const auction = await a.auction(sealed);
  await settle();
  stop();
  await pass(bidMs);
  expect(aborted).toBe(true);
  expect(await auction.result()).toMatchObject({ sold: false, bids: [] });
});

test('an answer that throws, or is no amount, is logged; other auctions go on', async () => {
  const a = node(['x']);
  let answers = 0;
  a.bidder(
    'x',
    () => {
      answers += 1;
      if (answers === 1) throw new Error('no idea');
      return answers === 2 ? 150.5 : 150;
    },
    { open: true },
  );
  await a.auction({ ...sealed, id: '1' });
  await settle();
  await a.auction({ ...sealed, id: '2' });
  await settle();
  const third = await a.auction({ ...sealed, id: '3' });
  await pass(bidMs);
  expect(await third.result()).toMatchObject({ price: 100 });
  expect(errors.splice(0)).toEqual([
    expect.stringContaining("bidder 'x' in auction '1': Error: no idea"),
    expect.stringContaining("bidder 'x' in auction '2': QuorateError: A bid is a whole number"),
  ]);
});

test('a bid that cannot be sent is logged, and asked for again while there is time', async () => {
  const a = node(['x']);
  const { id } = homes.get('x') as Identity;
  let faulty = true;
  a.bidder(
    'x',
    () => {
      if (faulty) order.fail(id, 'before');
      faulty = false;
      return 400;
    },
    { open: true },
  );
  const auction = await a.auction({ ...sealed, bidMs: 5_000 });
  await pass(100);
  expect(errors.splice(0)).toEqual([expect.stringContaining('NO_QUORUM')]);
  await pass(7_900);
  expect(await auction.result()).toMatchObject({ sold: true, bids: [{ amount: 400 }] });
});
