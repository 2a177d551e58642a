/**
 * Auctions as a reducer: commit and reveal, rising and falling prices, all by agreed time.
 *
 * Intuition: the order of the log is the order of the bids, and agreed time says which phase a bid falls in, so there is nothing left to
 * disagree about. Whoever can influence the order (the primary) sees sealed bids only as commitments.
 *
 * Invariants: a phase only goes forward; an amount of a sealed bid is taken only if it opens the bidder's commitment; who has not
 * revealed by the end is out; the winner's bid is the highest, the price is between the second and its own, never below the reserve;
 * a closed auction never changes; each sale has a fencing token above all before. The rule of price and ties: `outcome.ts`.
 * Sources: Vickrey 1961 (second price); commitments after Blum, "Coin flipping by telephone", 1981.
 *
 * A limit of commit and reveal without deposits: one who bids under two names can withhold the higher bid when it sees the others revealed.
 * It loses by that what it could have had, and is named in `unrevealed`.
 */
import * as v from 'valibot';
import { encodeValue } from '../../../codec.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import {
  type Book,
  bidderKey,
  bidderOf,
  bookFrom,
  bookSnapshot,
  type Entry,
  leaderOf,
  minimumOf,
  receiptOf,
  resultSchema,
  snapshotSchema,
  standing,
  statementOf,
  viewOf,
} from './book.ts';
import {
  type AuctionCommand,
  type AuctionQuery,
  type CommandOf,
  commandSchema,
  type Forbidden,
  querySchema,
  topics,
} from './commands.ts';
import * as limits from './limits.ts';
import { decide, ranked, type Sale } from './outcome.ts';
import { commitmentOf, sameBytes } from './sealing.ts';
import { dutchPrice, longestMs, type OrderedTerms } from './terms.ts';

const forbidden = (reason: Forbidden, id: string, agent: string): Answer =>
  refused('NOT_PERMITTED', { reason, id, agent });
const endKey = (id: string): string => `end/${id}`;
const forgetKey = 'forget';

export class AuctionReducer implements Reducer<AuctionCommand, AuctionQuery> {
  readonly name = 'auction';
  readonly commands = commandSchema;
  readonly queries = querySchema;
  /** In the order of their openings. */
  readonly #books = new Map<string, Book>();
  /** Ids of the closed ones, in the order in which they closed. */
  #finished: string[] = [];

  apply(command: AuctionCommand, context: ReducerContext): Answer {
    const { client } = context;
    if (client === undefined) return refused('NOT_PERMITTED', { reason: 'nobody submitted it', id: command.id });
    if (command.kind === 'auction.open') return this.#onOpen(command, client, context);
    const book = this.#books.get(command.id);
    if (book?.opening !== command.opening) return refused('NOT_FOUND', { id: command.id });
    switch (command.kind) {
      case 'auction.commit':
        return this.#onCommit(book, command, client, context);
      case 'auction.reveal':
        return this.#onReveal(book, command, client, context);
      case 'auction.bid':
        return book.terms.mechanism === 'dutch'
          ? this.#onTake(book, command, client, context)
          : this.#onRaise(book, command, client, context);
    }
  }

  query(query: AuctionQuery): Answer {
    if (query.kind === 'auction.list') return done(this.#list(query.after, query.node));
    const book = this.#books.get(query.id);
    if (book === undefined || (query.opening !== undefined && query.opening !== book.opening)) {
      return refused('NOT_FOUND', { id: query.id });
    }
    if (query.kind === 'auction.inspect') return done(viewOf(book));
    const own = [...book.entries.values()].filter(({ node, amount }) => node === query.node && amount === undefined);
    return done(own.map(({ agent, commitment, sealed }) => ({ agent, commitment, sealed })));
  }

  settled(query: AuctionQuery): Value | undefined {
    if (query.kind !== 'auction.inspect') return undefined;
    const book = this.#books.get(query.id);
    if (book?.result === undefined || (query.opening ?? book.opening) !== book.opening) return undefined;
    return statementOf(book, book.result);
  }

  expire(key: string, context: ReducerContext): void {
    if (key === forgetKey) {
      this.#forget(context);
      return;
    }
    const book = this.#books.get(key.slice(endKey('').length));
    if (book === undefined) return;
    const { terms } = book;
    if (terms.mechanism === 'dutch' && context.time < book.endsAt) {
      book.price = dutchPrice(terms, context.time - book.openedAt);
      this.#scheduleStep(book, terms.stepMs, context);
      this.#tell(book, context);
    } else if (isSealed(terms) && book.phase === 'bidding' && book.entries.size > 0) {
      book.phase = 'revealing';
      // From now, not from when it should have begun: a group that stood still must not cost the bidders their time.
      this.#endAt(book, context.time + terms.revealMs, context);
      this.#tell(book, context);
    } else {
      this.#close(book, undefined, context);
    }
  }

  snapshot(): Value {
    return { auctions: [...this.#books.values()].map(bookSnapshot), finished: this.#finished };
  }

  restore(snapshot: Value): void {
    const { auctions, finished } = v.parse(snapshotSchema, snapshot);
    this.#books.clear();
    for (const book of auctions) this.#books.set(book.id, bookFrom(book));
    this.#finished = finished;
  }

  #onOpen({ id, terms }: CommandOf<'auction.open'>, client: NodeId, context: ReducerContext): Answer {
    const existing = this.#books.get(id);
    if (existing !== undefined) {
      const same = sameBytes(encodeValue(existing.terms), encodeValue(terms));
      return same ? done(viewOf(existing)) : refused('ALREADY_EXISTS', { id });
    }
    if (this.#books.size - this.#finished.length >= limits.maxOpen) return tooMany('open auctions', limits.maxOpen);
    const own = [...this.#books.values()].filter(({ opener, phase }) => opener === client && phase !== 'closed');
    if (own.length >= limits.maxOpenPerNode) return tooMany('open auctions of one node', limits.maxOpenPerNode);
    const lasts = isSealed(terms) || terms.mechanism === 'english' ? terms.bidMs : longestMs(terms);
    const book: Book = {
      id,
      opening: context.nextToken(),
      opener: client,
      terms,
      openedAt: context.time,
      phase: 'bidding',
      endsAt: context.time + lasts,
      price: terms.mechanism === 'dutch' ? terms.startPrice : 0,
      nextOrder: 0,
      entries: new Map(),
      result: undefined,
    };
    this.#books.set(id, book);
    if (terms.mechanism === 'dutch') this.#scheduleStep(book, terms.stepMs, context);
    else context.schedule(endKey(id), book.endsAt);
    const invited = new Set(terms.bidders?.map(({ node }) => node));
    for (const node of invited) context.emit(topics.invited(node), { id });
    if (terms.bidders === undefined) context.emit(topics.open, { id });
    return done(viewOf(book));
  }

  #onCommit(book: Book, command: CommandOf<'auction.commit'>, client: NodeId, context: ReducerContext): Answer {
    const { agent, commitment, sealed, number } = command;
    if (!isSealed(book.terms)) return wrongKind(book);
    const barred = this.#barred(book, agent, client);
    if (barred !== undefined) return barred;
    const entry = book.entries.get(bidderKey(client, agent));
    const again = entry?.number === number && sameBytes(entry.commitment ?? new Uint8Array(), commitment);
    if (again) return done();
    if (book.phase !== 'bidding') return forbidden('bidding-is-over', book.id, agent);
    if (entry !== undefined && number <= entry.number) return refused('CONFLICT', { number: entry.number });
    this.#put(book, { agent, node: client, number, commitment, sealed });
    this.#tell(book, context);
    return done();
  }

  #onReveal(book: Book, command: CommandOf<'auction.reveal'>, client: NodeId, context: ReducerContext): Answer {
    const { agent, amount, nonce } = command;
    const revealed = book.result?.bids.find((bid) => bid.agent === agent && bid.node === client);
    if (revealed?.amount === amount) return done();
    if (book.phase === 'closed') return forbidden('bidding-is-over', book.id, agent);
    if (book.phase === 'bidding') return forbidden('still-bidding', book.id, agent);
    const entry = book.entries.get(bidderKey(client, agent));
    if (entry?.commitment === undefined) return forbidden('bidding-is-over', book.id, agent);
    const binding = { id: book.id, opening: book.opening, agent, node: client };
    if (!sameBytes(commitmentOf(binding, { amount, nonce }), entry.commitment)) {
      return refused('INVALID_ARGUMENT', { reason: 'it does not open the commitment', id: book.id, agent });
    }
    if (entry.amount !== undefined) return done();
    book.entries.set(bidderKey(client, agent), { ...entry, amount }); // Keeps its place.
    if (standing(book).length === book.entries.size) this.#close(book, undefined, context);
    else this.#tell(book, context);
    return done();
  }

  /** English. */
  #onRaise(book: Book, command: CommandOf<'auction.bid'>, client: NodeId, context: ReducerContext): Answer {
    const { terms } = book;
    const { agent, amount } = command;
    if (terms.mechanism !== 'english') return wrongKind(book);
    const barred = this.#barred(book, agent, client);
    if (barred !== undefined) return barred;
    const key = bidderKey(client, agent);
    const own = book.entries.get(key) ?? book.result?.bids.find((bid) => bidderKey(bid.node, bid.agent) === key);
    if (own?.amount === amount) return done({ amount }); // The same bid again: it stood, whatever came after.
    if (book.phase !== 'bidding') return forbidden('bidding-is-over', book.id, agent);
    const minimum = minimumOf(book);
    if (amount < minimum) {
      const highest = leaderOf(book)?.amount;
      return refused('CONFLICT', { minimum, ...(highest === undefined ? {} : { highest }) });
    }
    this.#put(book, { agent, node: client, number: 0, amount });
    const quiet = Math.max(book.endsAt, context.time + terms.quietMs);
    this.#endAt(book, Math.min(quiet, book.openedAt + terms.hardEndMs), context);
    this.#tell(book, context);
    return done({ amount });
  }

  /** Dutch: the first who takes the price has it. */
  #onTake(book: Book, command: CommandOf<'auction.bid'>, client: NodeId, context: ReducerContext): Answer {
    const { agent, amount } = command;
    const barred = this.#barred(book, agent, client);
    if (barred !== undefined) return barred;
    const { winner, price } = book.result ?? {};
    if (winner?.agent === agent && winner.node === client && price !== undefined && amount >= price) {
      return done({ amount: price });
    }
    if (book.phase !== 'bidding') return forbidden('bidding-is-over', book.id, agent);
    if (amount < book.price) return refused('CONFLICT', { minimum: book.price });
    this.#put(book, { agent, node: client, number: 0, amount: book.price });
    const [taken] = standing(book);
    this.#close(book, taken && { winner: taken, price: book.price }, context);
    return done({ amount: book.price });
  }

  /** Why this bidder may not bid here, if so. */
  #barred(book: Book, agent: string, client: NodeId): Answer | undefined {
    const { bidders } = book.terms;
    if (bidders !== undefined) {
      const invited = bidders.some((bidder) => bidder.agent === agent && bidder.node === client);
      return invited ? undefined : forbidden('not-invited', book.id, agent);
    }
    if (book.phase !== 'bidding' || book.entries.has(bidderKey(client, agent))) return undefined;
    const others = [...book.entries.values()];
    if (others.length >= limits.maxBidders) return tooMany('bidders', limits.maxBidders);
    const here = others.filter(({ node }) => node === client);
    if (here.length >= limits.maxBiddersPerNode) return tooMany('bidders of one node', limits.maxBiddersPerNode);
    const names = others.reduce((sum, other) => sum + Buffer.byteLength(other.agent), Buffer.byteLength(agent));
    return names > limits.maxNamesBytes ? tooMany('bytes of names', limits.maxNamesBytes) : undefined;
  }

  /** The bid stands from now, behind all that stand already. */
  #put(book: Book, bid: Omit<Entry, 'order'>): void {
    const key = bidderKey(bid.node, bid.agent);
    book.entries.delete(key);
    book.entries.set(key, { ...bid, order: book.nextOrder });
    book.nextOrder += 1;
  }

  #endAt(book: Book, at: number, context: ReducerContext): void {
    book.endsAt = at;
    context.schedule(endKey(book.id), at);
  }

  #scheduleStep(book: Book, stepMs: number, context: ReducerContext): void {
    const steps = Math.floor((context.time - book.openedAt) / stepMs) + 1;
    context.schedule(endKey(book.id), Math.min(book.openedAt + steps * stepMs, book.endsAt));
  }

  #close(book: Book, taken: Sale | undefined, context: ReducerContext): void {
    const { terms } = book;
    const open = standing(book);
    const pricing = terms.mechanism === 'sealedBidSecondPrice' ? 'second' : 'own';
    const sale = taken ?? decide(pricing, terms.reserve, open);
    const unrevealed = [...book.entries.values()].filter(({ amount }) => amount === undefined).map(bidderOf);
    const outcome = sale && { winner: bidderOf(sale.winner), price: sale.price, token: context.nextToken() };
    const bids = ranked(open).map(receiptOf);
    const result = { sold: sale !== undefined, ...outcome, bids, unrevealed, closedAt: context.time };
    // Parsed for the order of its fields: answers must have the same bytes at a replica that took this over from a snapshot.
    book.result = v.parse(resultSchema, result);
    book.phase = 'closed';
    book.entries = new Map();
    book.endsAt = context.time;
    context.schedule(endKey(book.id), undefined);
    this.#finished.push(book.id);
    this.#trim(book.opener);
    this.#scheduleForget(context);
    this.#tell(book, context);
  }

  #tell(book: Book, context: ReducerContext): void {
    const { opening, phase, result } = book;
    context.emit(topics.auction(book.id), { opening, phase, ...(result === undefined ? {} : { result }) });
  }

  /** Forgets the oldest where too many are finished: of this opener, so that one node cannot push out the others', and in all. */
  #trim(opener: NodeId): void {
    const own = this.#finished.filter((id) => this.#books.get(id)?.opener === opener);
    if (own.length > limits.maxFinishedPerNode) this.#drop(own[0]);
    if (this.#finished.length > limits.maxFinished) this.#drop(this.#finished[0]);
  }

  #drop(id: string | undefined): void {
    if (id === undefined) return;
    this.#finished = this.#finished.filter((other) => other !== id);
    this.#books.delete(id);
  }

  #forget(context: ReducerContext): void {
    for (;;) {
      const [oldest] = this.#finished;
      const closedAt = oldest === undefined ? undefined : this.#books.get(oldest)?.result?.closedAt;
      if (closedAt === undefined || closedAt + limits.keepFinishedMs > context.time) break;
      this.#drop(oldest);
    }
    this.#scheduleForget(context);
  }

  #scheduleForget(context: ReducerContext): void {
    const [oldest] = this.#finished;
    const closedAt = oldest === undefined ? undefined : this.#books.get(oldest)?.result?.closedAt;
    context.schedule(forgetKey, closedAt === undefined ? undefined : closedAt + limits.keepFinishedMs);
  }

  #list(after: number, node: NodeId | undefined): Value {
    const page: Value[] = [];
    for (const { id, opening, phase, endsAt, terms } of this.#books.values()) {
      if (opening <= after || phase === 'closed') continue;
      const { mechanism, bidders } = terms;
      const wanted = node === undefined || bidders === undefined || bidders.some((bidder) => bidder.node === node);
      if (wanted) page.push({ id, opening, mechanism, phase, endsAt, named: bidders !== undefined });
      if (page.length === limits.pageSize) break;
    }
    return page;
  }
}

type SealedTerms = Extract<OrderedTerms, { revealMs: number }>;

function isSealed(terms: OrderedTerms): terms is SealedTerms {
  return terms.mechanism === 'sealedBidSecondPrice' || terms.mechanism === 'sealedBidFirstPrice';
}

const tooMany = (what: string, limit: number): Answer => refused('LIMIT_EXCEEDED', { what, limit });
const wrongKind = ({ id, terms }: Book): Answer =>
  refused('INVALID_ARGUMENT', { reason: `no such bid in an auction of kind ${terms.mechanism}`, id });
