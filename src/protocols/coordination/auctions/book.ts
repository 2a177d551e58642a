/** One auction as the ordered state holds it, what the outside sees of it, and its form in a snapshot. */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { Bidder, BidReceipt } from './auctions.ts';
import { idSchema } from './commands.ts';
import { ranked, type StandingBid } from './outcome.ts';
import { agentSchema, amountSchema, bytesSchema, nodeSchema, type OrderedTerms, termsSchema } from './terms.ts';

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const bidderSchema = v.strictObject({ agent: agentSchema, node: nodeSchema });
const receiptSchema = v.strictObject({ agent: agentSchema, node: nodeSchema, amount: amountSchema });
const phaseSchema = v.picklist(['bidding', 'revealing', 'closed']);

const entrySchema = v.strictObject({
  agent: agentSchema,
  node: nodeSchema,
  /** Place in the log of the bid that stands; ties go by it. */
  order: whole,
  number: whole,
  /** Of a sealed bid. */
  commitment: v.exactOptional(bytesSchema),
  sealed: v.exactOptional(bytesSchema),
  /** Once it is open. */
  amount: v.exactOptional(amountSchema),
});
export type Entry = v.InferOutput<typeof entrySchema>;

export const resultSchema = v.strictObject({
  sold: v.boolean(),
  winner: v.exactOptional(bidderSchema),
  price: v.exactOptional(amountSchema),
  bids: v.array(receiptSchema),
  unrevealed: v.array(bidderSchema),
  token: v.exactOptional(whole),
  closedAt: whole,
});
export type OrderedResult = v.InferOutput<typeof resultSchema>;

export interface Book {
  readonly id: string;
  readonly opening: number;
  readonly opener: NodeId;
  readonly terms: OrderedTerms;
  readonly openedAt: number;
  phase: v.InferOutput<typeof phaseSchema>;
  endsAt: number;
  /** Dutch: of now. */
  price: number;
  nextOrder: number;
  /** By bidder, in the order of the bids that stand; emptied at the end, when the result says it all. */
  entries: Map<string, Entry>;
  result: OrderedResult | undefined;
}

/** A bidder is an agent of a node: whoever names an agent speaks only for its own node. */
export const bidderKey = (node: NodeId, agent: string): string => `${node}/${agent}`;

export const bidderOf = ({ agent, node }: Bidder): Bidder => ({ agent, node });
export const receiptOf = ({ agent, node, amount }: BidReceipt): BidReceipt => ({ agent, node, amount });

/** Bids whose amount is open. */
export function standing(book: Book): StandingBid[] {
  return [...book.entries.values()].flatMap(({ agent, node, order, amount }) =>
    amount === undefined ? [] : [{ agent, node, order, amount }],
  );
}

export function leaderOf(book: Book): StandingBid | undefined {
  return book.terms.mechanism === 'english' ? ranked(standing(book))[0] : undefined;
}

/** The least that can lead or win now. */
export function minimumOf(book: Book): number {
  const { terms } = book;
  if (terms.mechanism === 'dutch') return book.price;
  if (terms.mechanism !== 'english') return terms.reserve;
  const leader = leaderOf(book);
  return leader === undefined ? terms.startPrice : leader.amount + terms.increment;
}

/** What queries answer. */
export const viewSchema = v.strictObject({
  id: idSchema,
  opening: whole,
  terms: termsSchema,
  phase: phaseSchema,
  openedAt: whole,
  endsAt: whole,
  bids: v.array(v.strictObject({ agent: agentSchema, node: nodeSchema, amount: v.exactOptional(amountSchema) })),
  minimum: v.number(),
  leader: v.exactOptional(receiptSchema),
  result: v.exactOptional(resultSchema),
});
export type AuctionView = v.InferOutput<typeof viewSchema>;

export function viewOf(book: Book): AuctionView {
  const { id, opening, terms, phase, openedAt, endsAt, result } = book;
  const leader = leaderOf(book);
  return {
    id,
    opening,
    terms,
    phase,
    openedAt,
    endsAt,
    bids: [...book.entries.values()].map((entry) => ({
      ...bidderOf(entry),
      ...(entry.amount === undefined ? {} : { amount: entry.amount }),
    })),
    minimum: minimumOf(book),
    ...(leader === undefined ? {} : { leader: receiptOf(leader) }),
    ...(result === undefined ? {} : { result }),
  };
}

/** What a certificate states. */
export function statementOf(book: Book, result: OrderedResult): Value {
  const { id, opening, terms } = book;
  const { resource, mechanism, reserve } = terms;
  return { auction: id, opening, resource, mechanism, reserve, ...result };
}

const bookSchema = v.strictObject({
  id: idSchema,
  opening: whole,
  opener: nodeSchema,
  terms: termsSchema,
  openedAt: whole,
  phase: phaseSchema,
  endsAt: whole,
  price: whole,
  nextOrder: whole,
  entries: v.array(entrySchema),
  result: v.exactOptional(resultSchema),
});

export const snapshotSchema = v.strictObject({
  /** In the order of their openings. */
  auctions: v.array(bookSchema),
  /** Ids in the order in which they closed. */
  finished: v.array(idSchema),
});

export function bookSnapshot(book: Book): v.InferInput<typeof bookSchema> {
  const { result, entries, ...rest } = book;
  return { ...rest, entries: [...entries.values()], ...(result === undefined ? {} : { result }) };
}

export function bookFrom({ entries, result, ...rest }: v.InferOutput<typeof bookSchema>): Book {
  return {
    ...rest,
    entries: new Map(entries.map((entry) => [bidderKey(entry.node, entry.agent), entry])),
    result,
  };
}
