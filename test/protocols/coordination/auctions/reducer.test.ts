/** Auctions, line by line. */
import { describe, expect, test } from 'vitest';
import { decodeValue } from '../../../../src/codec.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { encodePayload } from '../../../../src/payload.ts';
import * as limits from '../../../../src/protocols/coordination/auctions/limits.ts';
import { maxAnswerBytes } from '../../../../src/protocols/coordination/machine/limits.ts';
import { alice, bob, carol, code, dutchTerms, englishTerms, firstPriceTerms, Log, sealedTerms } from './log.ts';

describe('sealed bids', () => {
  test('second price: the highest wins and pays the second highest, at once when all have revealed', () => {
    const log = new Log();
    log.open(sealedTerms);
    expect(code(log.commit(alice, 'x', 300))).toBe('ok');
    expect(code(log.commit(bob, 'y', 450))).toBe('ok');
    expect(code(log.commit(carol, 'z', 200))).toBe('ok');
    log.pass(1_000);
    expect(log.view()['phase']).toBe('revealing');
    for (const [node, agent, amount] of [
      [carol, 'z', 200],
      [alice, 'x', 300],
    ] as const) {
      expect(code(log.reveal(node, agent, amount))).toBe('ok');
      expect(log.outcome()).toBeUndefined();
    }
    expect(code(log.reveal(bob, 'y', 450))).toBe('ok');
    expect(log.outcome()).toEqual(['y', 300]);
    const { bids, unrevealed, token } = log.view()['result'] as { bids: unknown; unrevealed: unknown; token: number };
    expect(bids).toEqual([
      { agent: 'y', node: bob, amount: 450 },
      { agent: 'x', node: alice, amount: 300 },
      { agent: 'z', node: carol, amount: 200 },
    ]);
    expect(unrevealed).toEqual([]);
    expect(token).toBeGreaterThan(log.opening());
  });

  test('first price: the winner pays what it bid', () => {
    const log = new Log();
    log.open(firstPriceTerms);
    log.commit(alice, 'x', 300);
    log.commit(bob, 'y', 450);
    log.pass(1_000);
    log.reveal(alice, 'x', 300);
    log.reveal(bob, 'y', 450);
    expect(log.outcome()).toEqual(['y', 450]);
  });

  test('a lone bidder pays the reserve', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300);
    log.pass(1_000);
    log.reveal(alice, 'x', 300);
    expect(log.outcome()).toEqual(['x', 100]);
  });

  test('nothing is sold when none reaches the reserve, or nobody bids', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.open(sealedTerms, 'b');
    log.commit(alice, 'x', 99);
    log.pass(1_000);
    expect(log.outcome('b')).toBe('unsold');
    log.reveal(alice, 'x', 99);
    expect(log.outcome()).toBe('unsold');
    expect(log.view()['result']).not.toHaveProperty('token');
  });

  test('of equal bids the one that stands earlier in the log wins, whoever reveals first', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300, 1);
    log.commit(bob, 'y', 300);
    log.commit(alice, 'x', 300, 2); // Replaced: stands behind bob's now.
    log.pass(1_000);
    log.reveal(alice, 'x', 300, 2);
    log.reveal(bob, 'y', 300);
    expect(log.outcome()).toEqual(['y', 300]);
  });

  test('a commitment is replaced until bidding is over, and not by one that comes late', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300, 5);
    expect(log.commit(alice, 'x', 200, 4)).toEqual(['CONFLICT', { number: 5 }]);
    expect(code(log.commit(alice, 'x', 300, 5))).toBe('ok');
    expect(code(log.commit(alice, 'x', 150, 6))).toBe('ok');
    log.pass(1_000);
    expect(code(log.commit(alice, 'x', 400, 7))).toBe('NOT_PERMITTED');
    expect(code(log.reveal(alice, 'x', 300, 5))).toBe('INVALID_ARGUMENT');
    expect(code(log.reveal(alice, 'x', 150, 6))).toBe('ok');
    expect(log.outcome()).toEqual(['x', 100]);
  });

  test('a wrong reveal is refused and may be tried again; who does not reveal is out and named', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300);
    log.commit(bob, 'y', 900);
    expect(log.reveal(alice, 'x', 300)).toEqual(['NOT_PERMITTED', { reason: 'still-bidding', id: 'a', agent: 'x' }]);
    log.pass(1_000);
    expect(code(log.reveal(alice, 'x', 301))).toBe('INVALID_ARGUMENT');
    expect(code(log.reveal(bob, 'x', 300))).toBe('NOT_PERMITTED');
    expect(code(log.reveal(alice, 'x', 300))).toBe('ok');
    expect(code(log.reveal(alice, 'x', 300))).toBe('ok');
    log.pass(499);
    expect(log.outcome()).toBeUndefined();
    log.pass(1);
    expect(log.outcome()).toEqual(['x', 100]);
    expect(log.view()['result']).toMatchObject({ unrevealed: [{ agent: 'y', node: bob }] });
    expect(code(log.reveal(alice, 'x', 300))).toBe('ok');
    expect(code(log.reveal(bob, 'y', 900))).toBe('NOT_PERMITTED');
  });

  test('bidders have the whole time to reveal, although the group stood still', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300);
    log.pass(60_000);
    expect(log.view()).toMatchObject({ phase: 'revealing', endsAt: log.time + 500 });
  });

  test('a node finds its own sealed bids in the state, and only while they are hidden', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.commit(alice, 'x', 300);
    log.commit(bob, 'y', 400);
    const sealed = (): unknown =>
      log.query({ kind: 'auction.sealed', id: 'a', opening: log.opening(), node: alice })[0];
    const { commitment, sealed: box } = log.commitCommand(alice, 'x', 300);
    expect(sealed()).toEqual([{ agent: 'x', commitment, sealed: box }]);
    log.pass(1_000);
    log.reveal(alice, 'x', 300);
    expect(sealed()).toEqual([]);
  });
});

describe('English', () => {
  test('bids rise by the increment; the last one stands, pays its own, and late bids leave time to answer', () => {
    const log = new Log();
    log.open(englishTerms);
    expect(log.bid(alice, 'x', 49)).toEqual(['CONFLICT', { minimum: 50 }]);
    expect(log.bid(alice, 'x', 90)).toEqual([{ amount: 90 }]);
    expect(log.bid(bob, 'y', 99)).toEqual(['CONFLICT', { minimum: 100, highest: 90 }]);
    log.pass(900);
    expect(code(log.bid(bob, 'y', 120))).toBe('ok');
    expect(log.view()).toMatchObject({ leader: { agent: 'y', amount: 120 }, minimum: 130, endsAt: log.time + 300 });
    expect(code(log.bid(alice, 'x', 90))).toBe('ok'); // Sent again: it stood once.
    log.pass(299);
    expect(log.outcome()).toBeUndefined();
    log.pass(1);
    expect(log.outcome()).toEqual(['y', 120]);
    expect(log.view()['result']).toMatchObject({ bids: [{ amount: 120 }, { amount: 90 }] });
    expect(code(log.bid(bob, 'y', 120))).toBe('ok');
    expect(code(log.bid(alice, 'x', 500))).toBe('NOT_PERMITTED');
  });

  test('it is not sold below the reserve', () => {
    const log = new Log();
    log.open(englishTerms);
    log.bid(alice, 'x', 60);
    log.pass(1_000);
    expect(log.outcome()).toBe('unsold');
  });

  test('bids put the end off, but not for ever', () => {
    const log = new Log();
    log.open(englishTerms);
    const opened = log.time;
    for (let amount = 100; log.outcome() === undefined; amount += 10) {
      log.pass(100);
      log.bid(alice, 'x', amount);
    }
    expect(log.time).toBe(opened + 2_000);
  });

  test('at the largest amount there is no higher bid', () => {
    const log = new Log();
    log.open(englishTerms);
    expect(code(log.bid(alice, 'x', Number.MAX_SAFE_INTEGER))).toBe('ok');
    expect(code(log.bid(bob, 'y', Number.MAX_SAFE_INTEGER))).toBe('CONFLICT');
    log.pass(2_000);
    expect(log.outcome()).toEqual(['x', Number.MAX_SAFE_INTEGER]);
  });
});

describe('Dutch', () => {
  test('the price falls by agreed time; the first who takes it pays the price, not its bid', () => {
    const log = new Log();
    log.open(dutchTerms);
    expect(log.bid(alice, 'x', 499)).toEqual(['CONFLICT', { minimum: 500 }]);
    log.pass(99);
    expect(log.view()['minimum']).toBe(500);
    log.pass(1);
    expect(log.view()['minimum']).toBe(350);
    log.time += 100; // No tick: the command itself brings the time.
    expect(log.bid(bob, 'y', 349)).toEqual([{ amount: 200 }]);
    expect(log.outcome()).toEqual(['y', 200]);
    expect(code(log.bid(bob, 'y', 349))).toBe('ok');
    expect(code(log.bid(alice, 'x', 400))).toBe('NOT_PERMITTED');
  });

  test('the last price is the reserve; then it is over, unsold', () => {
    const log = new Log();
    log.open(dutchTerms);
    log.pass(300);
    expect(log.view()['minimum']).toBe(100);
    log.pass(99);
    expect(log.outcome()).toBeUndefined();
    log.pass(1);
    expect(log.outcome()).toBe('unsold');
  });

  test('a group that stood still goes on with the price of now', () => {
    const log = new Log();
    log.open(dutchTerms);
    log.pass(250);
    expect(log.view()['minimum']).toBe(200);
    log.pass(50);
    expect(log.view()['minimum']).toBe(100);
  });
});

describe('who may, and what is told', () => {
  const named = {
    ...sealedTerms,
    bidders: [
      { agent: 'x', node: alice },
      { agent: 'y', node: bob },
    ],
  };

  test('only those who are named bid, each from its node', () => {
    const log = new Log();
    log.open(named);
    expect(code(log.commit(alice, 'x', 1))).toBe('ok');
    for (const [node, agent] of [
      [bob, 'x'],
      [alice, 'y'],
      [carol, 'z'],
    ] as const) {
      expect(log.commit(node, agent, 1)).toEqual(['NOT_PERMITTED', { reason: 'not-invited', id: 'a', agent }]);
    }
  });

  test('where nobody is named, agents of one name on two nodes are two bidders', () => {
    const log = new Log();
    log.open(englishTerms);
    log.bid(alice, 'x', 100);
    log.bid(bob, 'x', 110);
    expect(log.view()['bids']).toEqual([
      { agent: 'x', node: alice, amount: 100 },
      { agent: 'x', node: bob, amount: 110 },
    ]);
  });

  test('the same id and terms is the same auction, for whoever asks; other terms are refused', () => {
    const log = new Log();
    const first = log.open(sealedTerms);
    log.events();
    expect(log.open(sealedTerms, 'a', bob)).toEqual(first);
    expect(log.open({ ...sealedTerms, reserve: 101 })).toEqual(['ALREADY_EXISTS', { id: 'a' }]);
    expect(log.events()).toEqual([]);
  });

  test('a bid of another kind, for an auction that is not there or was another, is refused', () => {
    const log = new Log();
    log.open(sealedTerms);
    log.open(englishTerms, 'e');
    expect(code(log.bid(alice, 'x', 500))).toBe('INVALID_ARGUMENT');
    expect(code(log.commit(alice, 'x', 500, 1, 'e'))).toBe('INVALID_ARGUMENT');
    expect(code(log.bid(alice, 'x', 500, 'nothing'))).toBe('NOT_FOUND');
    const old = { kind: 'auction.bid', id: 'e', opening: log.opening('e') + 1, agent: 'x', amount: 100 };
    expect(log.submit(alice, old)).toEqual(['NOT_FOUND', { id: 'e' }]);
  });

  test('openings are told to the nodes that are named, or to all; changes and the result to who follows', () => {
    const log = new Log();
    log.open(named);
    expect(log.events()).toEqual([
      { topic: `auction/invited/${alice}`, payload: { id: 'a' } },
      { topic: `auction/invited/${bob}`, payload: { id: 'a' } },
    ]);
    log.open(dutchTerms, 'd');
    expect(log.events()).toEqual([{ topic: 'auction/open', payload: { id: 'd' } }]);
    const opening = log.opening('d');
    log.bid(carol, 'z', 500, 'd');
    const result = log.view('d')['result'];
    expect(log.events()).toEqual([{ topic: 'auction/id/d', payload: { opening, phase: 'closed', result } }]);
  });

  test('lists are of what is not over, for everybody or for one node', () => {
    const log = new Log();
    log.open(named);
    log.open(englishTerms, 'e');
    log.open(dutchTerms, 'd');
    log.bid(alice, 'x', 500, 'd');
    const list = (query = {}): unknown =>
      (log.query({ kind: 'auction.list', after: 0, ...query })[0] as { id: string }[]).map(({ id }) => id);
    expect(list()).toEqual(['a', 'e']);
    expect(list({ node: carol })).toEqual(['e']);
    expect(list({ node: bob })).toEqual(['a', 'e']);
    expect(list({ after: log.opening('a') })).toEqual(['e']);
  });

  test('what is settled is stated once it is over, and then for good', () => {
    const log = new Log();
    log.open(dutchTerms);
    expect(log.settled()).toBeUndefined();
    log.bid(alice, 'x', 500);
    const statement = log.settled() as Uint8Array;
    expect(decodeValue(statement)).toMatchObject({
      ok: true,
      value: { auction: 'a', mechanism: 'dutch', winner: { agent: 'x', node: alice }, price: 500, reserve: 100 },
    });
    log.bid(bob, 'y', 500);
    log.pass(10_000);
    expect(log.settled()).toEqual(statement);
  });
});

describe('bounds', () => {
  test('a finished auction is kept for an hour, then its id is free again', () => {
    const log = new Log();
    log.open(dutchTerms);
    log.bid(alice, 'x', 500);
    log.pass(limits.keepFinishedMs - 1);
    expect(log.outcome()).toEqual(['x', 500]);
    log.pass(1);
    expect(log.query({ kind: 'auction.inspect', id: 'a' })).toEqual(['NOT_FOUND', { id: 'a' }]);
    expect(code(log.open(englishTerms))).toBe('ok');
  });

  test('one node can neither take all room nor push out what others have finished', () => {
    const log = new Log();
    log.open(dutchTerms, 'of bob', bob);
    log.bid(carol, 'z', 500, 'of bob');
    for (let n = 0; n < limits.maxOpenPerNode; n++) expect(code(log.open(dutchTerms, `a${n}`))).toBe('ok');
    expect(code(log.open(dutchTerms, 'more'))).toBe('LIMIT_EXCEEDED');
    expect(code(log.open(dutchTerms, 'of carol', carol))).toBe('ok');
    log.pass(400);
    for (let n = 0; n < 10; n++) log.open(dutchTerms, `b${n}`);
    log.pass(400);
    const kept = (letter: string, count: number): number =>
      Array.from({ length: count }, (_, n) => log.outcome(`${letter}${n}`)).filter((it) => it === 'unsold').length;
    expect(kept('b', 10)).toBe(10);
    expect(kept('a', limits.maxOpenPerNode)).toBe(limits.maxFinishedPerNode - 10);
    expect(log.outcome('of bob')).toEqual(['z', 500]);
  });

  test('one node cannot fill an open auction with its agents', () => {
    const log = new Log();
    log.open(sealedTerms);
    for (let n = 0; n < limits.maxBiddersPerNode; n++) expect(code(log.commit(alice, `x${n}`, 1))).toBe('ok');
    expect(code(log.commit(alice, 'more', 1))).toBe('LIMIT_EXCEEDED');
    expect(code(log.commit(alice, 'x0', 1, 2))).toBe('ok');
    expect(code(log.commit(bob, 'y', 1))).toBe('ok');
  });

  test('the largest auction still fits into an answer, an event and a statement', () => {
    const log = new Log();
    const name = (n: number): string => `${n}`.padEnd(limits.maxNamesBytes / limits.maxBidders, '.');
    const nodes = Array.from({ length: limits.maxBidders }, (_, n) => `${n}`.padEnd(64, '-') as NodeId);
    const bidders = nodes.map((node, n) => ({ agent: name(n), node }));
    const resource = new Uint8Array(limits.maxResourceBytes);
    const most = Number.MAX_SAFE_INTEGER - 100_000;
    const id = 'i'.repeat(256);
    expect(code(log.open({ ...englishTerms, resource, bidders }, id))).toBe('ok');
    for (const [n, { agent, node }] of bidders.entries()) {
      expect(code(log.bid(node, agent, most + 10 * n, id))).toBe('ok');
    }
    const room = 16_384;
    expect(encodePayload(log.view(id), maxAnswerBytes).length).toBeLessThan(maxAnswerBytes - room);
    log.pass(2_000);
    expect(log.outcome(id)).toEqual([name(255), most + 2_550]);
    expect(encodePayload(log.view(id), maxAnswerBytes).length).toBeLessThan(maxAnswerBytes - room);
    expect((log.settled(id) as Uint8Array).length).toBeLessThan(maxAnswerBytes - room);
    const tooMany = [...bidders, { agent: 'z', node: alice }];
    expect(code(log.open({ ...englishTerms, bidders: tooMany }, 'b'))).toBe('INVALID_ARGUMENT');
    const tooLong = bidders.map((bidder) => ({ ...bidder, agent: `${bidder.agent}.` }));
    expect(code(log.open({ ...englishTerms, bidders: tooLong }, 'b'))).toBe('INVALID_ARGUMENT');
  });
});
