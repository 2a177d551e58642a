/** What must hold after any commands whatever. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeValue } from '../../../../src/codec.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { encodePayload } from '../../../../src/payload.ts';
import type { AuctionView } from '../../../../src/protocols/coordination/auctions/book.ts';
import { AuctionReducer } from '../../../../src/protocols/coordination/auctions/reducer.ts';
import { commitmentOf } from '../../../../src/protocols/coordination/auctions/sealing.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { Value } from '../../../../src/value.ts';
import { travels } from '../../../travels.ts';
import {
  alice,
  bob,
  carol,
  decoded,
  dutchTerms,
  englishTerms,
  firstPriceTerms,
  Log,
  nonceOf,
  sealedTerms,
} from './log.ts';

interface Step {
  readonly client: NodeId;
  readonly afterMs: number;
  readonly command: Command;
}

type Command = { readonly kind: string; readonly [key: string]: Value };

const named = {
  ...sealedTerms,
  bidders: [
    { agent: 'x', node: alice },
    { agent: 'y', node: bob },
  ],
};
const allTerms = [sealedTerms, firstPriceTerms, englishTerms, dutchTerms, named] as const;
const ids = ['a', 'b', 'c'] as const;
/** 0 stands for the opening of now; others are what a stale handle says. */
const opening = fc.constantFrom(0, 0, 0, 0, 0, 1, 2, 3);
const agent = fc.constantFrom('x', 'y', 'z');
const id = fc.constantFrom(...ids);
const amount = fc.integer({ min: 0, max: 60 }).map((tens) => tens * 10);
const number = fc.integer({ min: 1, max: 3 });
const client = fc.constantFrom(alice, bob, carol);
const sealedAmount = (n: number): number => 50 + 100 * n;

/** Completed when it is submitted. Without a true sealed opening: the reducer does not look into it, and making it costs a signature. */
const commit = fc
  .record({ client, id, opening, agent, number })
  .map(({ client: by, ...rest }) => ({ client: by, command: { kind: 'auction.commit', ...rest } }));
const reveal = fc
  .record({ client, id, opening, agent, number, off: fc.constantFrom(0, 0, 0, 1) })
  .map(({ client: by, number: n, off, ...rest }) => ({
    client: by,
    command: { kind: 'auction.reveal', ...rest, amount: sealedAmount(n) + off, nonce: nonceOf(rest.agent, n) },
  }));
const open = fc
  .record({ client, id, terms: fc.constantFrom(...allTerms) })
  .map(({ client: by, ...rest }) => ({ client: by, command: { kind: 'auction.open', ...rest } }));
const bid = fc
  .record({ client, id, opening, agent, amount })
  .map(({ client: by, ...rest }) => ({ client: by, command: { kind: 'auction.bid', ...rest } }));
const act: fc.Arbitrary<{ client: NodeId; command: Command }> = fc.oneof(
  { weight: 2, arbitrary: open },
  { weight: 5, arbitrary: commit },
  { weight: 5, arbitrary: reveal },
  { weight: 5, arbitrary: bid },
);
const afterMs = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(0, 0, 0, 0, 20, 100, 300, 1_000) },
  { weight: 1, arbitrary: fc.constant(3_700_000) },
);
const steps: fc.Arbitrary<Step[]> = fc
  .array(fc.tuple(act, afterMs), { maxLength: 60, size: 'max' })
  .map((all) => all.map(([one, ms]) => ({ ...one, afterMs: ms })));

class Replica {
  readonly machine = new CoordinationMachine([new AuctionReducer()]);
  #seq = 0;
  #time = 1_000;

  step({ client: by, afterMs: ms, command }: Step): { answer: Uint8Array; events: unknown } {
    this.#time += ms;
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.#time, client: by, validators: [] };
    const answer = this.machine.apply(encodePayload(this.#complete(by, command), 65_536), context);
    return { answer, events: this.machine.takeEvents() };
  }

  /** Fills in the opening of now, and a commitment for it. */
  #complete(node: NodeId, { opening: wished, ...command }: Command): Command {
    if (wished === undefined) return command;
    const current = wished === 0 ? (this.view(String(command['id']))?.opening ?? 0) : wished;
    if (command.kind !== 'auction.commit') return { ...command, opening: current };
    const { id: of, agent: by, number: n } = command as unknown as { id: string; agent: string; number: number };
    const opened = { amount: sealedAmount(n), nonce: nonceOf(by, n) };
    const commitment = commitmentOf({ id: of, opening: current as number, agent: by, node }, opened);
    return { ...command, opening: current, commitment, sealed: new Uint8Array(68) };
  }

  /** One that starts from the snapshot of this. */
  takenOver(): Replica {
    const other = new Replica();
    other.#time = this.#time;
    other.#seq = this.#seq;
    other.machine.restore(this.machine.snapshot());
    return other;
  }

  inspected(of: string): Uint8Array {
    return this.machine.query(encodePayload({ kind: 'auction.inspect', id: of }, 1_024));
  }

  view(of: string): AuctionView | undefined {
    const told = decoded(this.inspected(of));
    const [view, refusal] = told as [Value, Value];
    return refusal === undefined ? (view as unknown as AuctionView) : undefined;
  }
}

const phases = ['bidding', 'revealing', 'closed'];

function checkResult({ terms, result, bids }: AuctionView): void {
  if (result === undefined) return;
  expect(bids).toEqual([]);
  const amounts = result.bids.map((one) => one.amount);
  expect(amounts).toEqual([...amounts].sort((a, b) => b - a));
  const [highest, second = 0] = amounts;
  expect(result.sold).toBe(highest !== undefined && highest >= terms.reserve);
  if (highest === undefined || result.price === undefined) return;
  expect(result.winner).toEqual({ agent: result.bids[0]?.agent, node: result.bids[0]?.node });
  expect(result.price).toBeGreaterThanOrEqual(terms.reserve);
  expect(result.price).toBeLessThanOrEqual(highest);
  expect(result.price).toBeGreaterThanOrEqual(Math.min(second, highest));
  expect(result.token).toBeGreaterThan(0);
}

/** The invariants of the reducer, before and after a step. */
function checkStep(before: AuctionView | undefined, after: AuctionView | undefined, highestToken: number): void {
  if (after === undefined) return;
  checkResult(after);
  expect(after.phase === 'closed').toBe(after.result !== undefined);
  if (before === undefined || before.opening !== after.opening) {
    expect(after.opening).toBeGreaterThan(highestToken);
    return;
  }
  expect(phases.indexOf(after.phase)).toBeGreaterThanOrEqual(phases.indexOf(before.phase));
  if (before.phase === 'closed') expect(after).toEqual(before);
  if (before.phase === 'revealing') {
    const shown = after.result === undefined ? after.bids : [...after.result.bids, ...after.result.unrevealed];
    const names = (all: readonly { agent: string; node: string }[]): string[] =>
      all.map((one) => `${one.node}/${one.agent}`).sort();
    expect(names(shown)).toEqual(names(before.bids));
  }
  const { terms } = after;
  if (terms.mechanism === 'english' && after.phase === 'bidding') {
    expect(after.endsAt).toBeLessThanOrEqual(after.openedAt + terms.hardEndMs);
    expect(after.minimum).toBeGreaterThanOrEqual(before.minimum);
  }
  if (terms.mechanism === 'dutch') expect(after.minimum).toBeLessThanOrEqual(before.minimum);
}

test('phases go forward, results keep the rules and never change, tokens rise', () => {
  const seen = { sold: 0, unsold: 0, unrevealed: 0 };
  fc.assert(
    fc.property(steps, (all) => {
      const replica = new Replica();
      let highestToken = 0;
      for (const step of all) {
        const before = ids.map((of) => replica.view(of));
        replica.step(step);
        const after = ids.map((of) => replica.view(of));
        for (const [n] of ids.entries()) checkStep(before[n], after[n], highestToken);
        for (const view of after) highestToken = Math.max(highestToken, view?.opening ?? 0, view?.result?.token ?? 0);
        for (const view of after) {
          if (view?.result?.sold) seen.sold += 1;
          else if (view?.result) seen.unsold += 1;
          if (view?.result?.unrevealed.length) seen.unrevealed += 1;
        }
      }
    }),
    { numRuns: 150 },
  );
  // The steps do lead somewhere.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});

test('replicas that hear the same say and keep the same, also when one takes over anywhere', () => {
  fc.assert(
    fc.property(steps, fc.nat(60), (all, at) => {
      const one = new Replica();
      let two = new Replica();
      for (const [n, step] of all.entries()) {
        if (n === at) two = two.takenOver();
        expect(two.step(step)).toEqual(one.step(step));
        // Byte for byte, or the replies of a replica that took over would not count.
        for (const of of ids) expect(two.inspected(of)).toEqual(one.inspected(of));
      }
      expect(two.machine.snapshot()).toEqual(one.machine.snapshot());
      expect(two.takenOver().machine.snapshot()).toEqual(one.machine.snapshot());
    }),
    { numRuns: 100 },
  );
});

test('the order of reveals changes nothing', () => {
  const bidder = fc.record({ client, agent, amount });
  const bidders = fc.uniqueArray(bidder, { minLength: 1, maxLength: 6, selector: (one) => one.client + one.agent });
  fc.assert(
    fc.property(bidders, fc.infiniteStream(fc.nat()), (all, keys) => {
      const run = (reveals: typeof all): Value => {
        const log = new Log();
        log.open(sealedTerms);
        for (const one of all) log.commit(one.client, one.agent, one.amount);
        log.pass(1_000);
        for (const one of reveals) log.reveal(one.client, one.agent, one.amount);
        expect(log.outcome()).toBeDefined();
        return decodeValue(log.settled() as Uint8Array) as unknown as Value;
      };
      const shuffled = all
        .map((one) => ({ one, key: keys.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ one }) => one);
      expect(run(shuffled)).toEqual(run(all));
    }),
    { numRuns: 50 },
  );
});

test('garbage is refused and changes nothing', () => {
  const replica = new Replica();
  const log = [
    { client: alice, afterMs: 0, command: { kind: 'auction.open', id: 'a', terms: englishTerms } },
    { client: alice, afterMs: 0, command: { kind: 'auction.open', id: 'b', terms: sealedTerms } },
  ];
  for (const step of log) replica.step(step);
  const before = replica.machine.snapshot();
  const kinds = ['open', 'commit', 'reveal', 'bid', 'inspect', 'else'].map((verb) => `auction.${verb}`);
  const junk = fc.oneof(
    fc.constantFrom(-1, 0.5, Number.NaN, 2 ** 53, '', 'x'.repeat(300), null),
    fc.jsonValue().filter(travels),
  );
  const fields = fc.dictionary(fc.constantFrom('id', 'opening', 'agent', 'amount', 'nonce', 'terms', 'more'), junk);
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fields, (kind, rest) => {
      // An amount that happens to be one would make a bid of it.
      const amounts = Number.isSafeInteger(rest['amount']) || rest['amount'] === undefined ? { amount: -5 } : {};
      const command = { kind, id: 'a', opening: 1, agent: 'x', ...rest, ...amounts } as Command;
      const { answer, events } = replica.step({ client: bob, afterMs: 0, command });
      expect((decoded(answer) as Value[])[0]).toMatch(/^(INVALID_ARGUMENT|NOT_FOUND|CONFLICT)$/);
      expect(events).toEqual([]);
      // Revision, token and time are as before, too.
      expect(replica.machine.snapshot()).toEqual(before);
    }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...allTerms),
      fc.constantFrom(...Object.keys(englishTerms)),
      junk,
      (terms, key, value) => {
        const command = { kind: 'auction.open', id: 'n', terms: { ...terms, [key]: value } } as Command;
        const { answer } = replica.takenOver().step({ client: bob, afterMs: 0, command });
        // A number that happens to be one is fine; anything else is told.
        if (!(typeof value === 'number' && Number.isSafeInteger(value))) {
          expect((decoded(answer) as Value[])[0]).toBe('INVALID_ARGUMENT');
        }
      },
    ),
  );
});
