/**
 * Auctions: who gets a resource, and for how much, decided by the ordered log, so that nobody runs the auction and all see the same result.
 *
 * Amounts are whole numbers of the smallest unit (cents, tokens, milliseconds of a GPU), from 0 to 2^53 − 1. Not fractions: whether two bids
 * tie, and what the second price is, must come out alike at every node and in every language, and 0.1 + 0.2 does not.
 *
 * What an auction does not do: move money, or take a deposit. Who wins and does not pay, or commits and does not
 * reveal, shows in the result (`unrevealed`), and what follows from it is the application's to decide.
 */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';

export interface Auctions {
  /**
   * Opens an auction, or joins the one that has this id and the same terms.
   *
   * Rejects with `INVALID_ARGUMENT`, `NOT_FOUND` (a named bidder that no node has), `ALREADY_EXISTS` (the id has other terms),
   * `LIMIT_EXCEEDED` (too many are open), or with what ordering rejects with (`NO_QUORUM`, `UNKNOWN_OUTCOME` …). With an `id` of
   * yours it can be repeated after `UNKNOWN_OUTCOME`.
   *
   * @example
   * const auction = await mesh.coordination.auction({
   *   resource: { gpu: 7, minutes: 30 }, mechanism: 'sealedBidSecondPrice', reserve: 100, bidders: ['trainer', 'renderer'], bidMs: 2_000,
   * });
   * const { sold, winner, price, token } = await auction.result();
   */
  auction(options: AuctionOptions): Promise<Auction>;
  /**
   * The auction with this id, to bid in or to watch. After a restart of the process it is also how sealed bids made before are
   * revealed. Rejects with `NOT_FOUND`, and like any read.
   */
  joinAuction(id: string, options?: AuctionCallOptions): Promise<Auction>;
  /** How an auction stands, finished ones for an hour. Rejects with `NOT_FOUND`, and like any read. */
  inspectAuction(id: string, options?: AuctionCallOptions): Promise<AuctionState>;
  /** What can be bid in or is being revealed now, oldest first. Rejects like any read. */
  openAuctions(options?: AuctionCallOptions): Promise<readonly AuctionSummary[]>;
  /**
   * Lets an agent of this node bid by itself, in every auction that names it, and with `open: true` also in those that name nobody.
   *
   * `answer` is asked once in a sealed auction; in an English one whenever somebody else leads; in a Dutch one at each price. It gives the
   * amount, or undefined for none; less than `minimum` is none. English: none is for good. What goes wrong is logged, and other auctions go on.
   * The function returned ends it, and aborts the signals of answers that are being thought about.
   *
   * @example
   * const stop = mesh.coordination.bidder('trainer', async (auction, { minimum }) => (minimum <= 900 ? 900 : undefined));
   */
  bidder(agent: AgentId, answer: BidAnswer, options?: { readonly open?: boolean }): () => void;
}

export interface AuctionCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: `coordination.timeoutMs` of the mesh. */
  readonly timeoutMs?: number | undefined;
}

/**
 * `sealedBidSecondPrice`: nobody sees a bid before bidding is over; the highest wins and pays the second highest. To bid what it is worth to you is
 * best, whatever others do (Vickrey 1961). `sealedBidFirstPrice`: the winner pays what it bid. `english`: open, rising. `dutch`: the
 * price falls until one takes it.
 */
export type AuctionMechanism = 'sealedBidSecondPrice' | 'sealedBidFirstPrice' | 'english' | 'dutch';

export type AuctionOptions = SealedAuctionOptions | EnglishAuctionOptions | DutchAuctionOptions;

interface CommonOptions extends AuctionCallOptions {
  /** 1 to 256 bytes of UTF-8. Default: a random one. */
  readonly id?: string;
  /** What is sold, for the bidders to read; at most 16 KiB encoded. */
  readonly resource: Value;
  /** Below it nothing is sold; everybody sees it. Default 0. */
  readonly reserve?: number;
  /** Only these agents may bid, each from the node it lives on now. Default: every agent may. At most 256. */
  readonly bidders?: readonly AgentId[];
}

export interface SealedAuctionOptions extends CommonOptions {
  readonly mechanism: 'sealedBidSecondPrice' | 'sealedBidFirstPrice';
  /** How long bids are taken, milliseconds, at most 30 days, as all durations here. */
  readonly bidMs: number;
  /**
   * How long bidders have to reveal; it ends as soon as all have. Default 30,000 (a guess: a node that restarts is back by then).
   */
  readonly revealMs?: number;
}

export interface EnglishAuctionOptions extends CommonOptions {
  readonly mechanism: 'english';
  /** How long bids are taken at least, milliseconds. */
  readonly bidMs: number;
  /** The least first bid. Default: the reserve. */
  readonly startPrice?: number;
  /** By how much a bid must exceed the one before. Default 1. */
  readonly increment?: number;
  /** After each bid this much time remains at least, so that nobody wins by being last, milliseconds. Default: a tenth of `bidMs`. */
  readonly quietMs?: number;
  /** It is over by then, whatever is bid; from the opening, milliseconds. Default: ten times `bidMs`, at most 30 days. */
  readonly hardEndMs?: number;
}

export interface DutchAuctionOptions extends CommonOptions {
  readonly mechanism: 'dutch';
  readonly startPrice: number;
  /** What the price falls by at each step; the last price is the reserve. At most 10,000 steps. */
  readonly stepBy: number;
  /** How long each price stands, milliseconds, by agreed time; at least 10. */
  readonly stepMs: number;
}

export interface Bidder {
  readonly agent: AgentId;
  readonly node: NodeId;
}

/** What was agreed at the opening, defaults filled in. */
export type AuctionTerms = (
  | {
      readonly mechanism: 'sealedBidSecondPrice' | 'sealedBidFirstPrice';
      readonly bidMs: number;
      readonly revealMs: number;
    }
  | {
      readonly mechanism: 'english';
      readonly bidMs: number;
      readonly startPrice: number;
      readonly increment: number;
      readonly quietMs: number;
      readonly hardEndMs: number;
    }
  | { readonly mechanism: 'dutch'; readonly startPrice: number; readonly stepBy: number; readonly stepMs: number }
) & {
  readonly resource: Value;
  readonly reserve: number;
  /** Undefined: every agent may bid. */
  readonly bidders?: readonly Bidder[];
};

export interface Auction {
  readonly id: string;
  readonly terms: AuctionTerms;
  /**
   * Bids in the name of an agent of this node, and resolves when the bid stands: a sealed one is committed, an English one leads, a Dutch one has won,
   * at the price of that moment and never above `amount`. A sealed bid may be replaced until bidding is over, and is
   * revealed by this node by itself, as long as its mesh runs.
   *
   * Rejects with `CONFLICT` (English, Dutch: less than `data.minimum`, look again), `NOT_PERMITTED` (`data.reason`: the agent was not
   * invited, lives elsewhere, or bidding is over), `LIMIT_EXCEEDED`, `NOT_FOUND`, the reason of `signal`, or with what ordering rejects with. After
   * `UNKNOWN_OUTCOME` the bid may count: `bid` again (the same bid counts once) or see the result.
   *
   * @example
   * await auction.bid(450, { as: 'trainer' });
   */
  bid(amount: number, options: BidOptions): Promise<BidReceipt>;
  /**
   * Waits for the end. Rejects with `TIMED_OUT` (default: the longest the auction can last, and `coordination.timeoutMs` more), `NOT_FOUND`
   * when it is over for so long that it is forgotten, or the reason of `signal`. Goes on through a lost quorum.
   */
  result(options?: AuctionCallOptions): Promise<AuctionResult>;
  /**
   * How it stands, now and after each change, up to and with the end. A slow reader gets the newest, not all between. Ends when
   * `signal` aborts.
   */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterable<AuctionState>;
  /**
   * The result with the validators' signatures, for who was not there; `readAuctionCertificate` says what it states. Rejects with `NOT_SETTLED`
   * before the end.
   */
  certificate(options?: AuctionCallOptions): Promise<Certificate>;
}

export interface BidOptions extends AuctionCallOptions {
  /** The agent that bids. */
  readonly as: AgentId;
}

export interface BidReceipt extends Bidder {
  readonly amount: number;
}

export type AuctionPhase = 'bidding' | 'revealing' | 'closed';

export interface AuctionState {
  readonly id: string;
  readonly terms: AuctionTerms;
  readonly phase: AuctionPhase;
  /** Agreed times, milliseconds since 1970. */
  readonly openedAt: number;
  /** When the phase ends, if nothing ends it sooner or (English) later; of a closed one, when it closed. */
  readonly endsAt: number;
  /** Who has bid, in the order of the bids that stand. An amount is there once it is open: English at once, sealed when revealed. */
  readonly bids: readonly (Bidder & { readonly amount?: number })[];
  /** The least that is worth bidding now: English above the leader, Dutch the price, sealed the reserve. */
  readonly minimum: number;
  /** English: who leads. */
  readonly leader?: BidReceipt;
  readonly result?: AuctionResult;
}

export interface AuctionSummary {
  readonly id: string;
  readonly mechanism: AuctionMechanism;
  readonly phase: 'bidding' | 'revealing';
  /** Agreed time, milliseconds since 1970. */
  readonly endsAt: number;
  /** Whether it names who may bid. */
  readonly named: boolean;
}

export interface AuctionResult {
  readonly sold: boolean;
  readonly winner?: Bidder;
  readonly price?: number;
  /** Highest first; equal ones as they came. English: the highest of each bidder. */
  readonly bids: readonly BidReceipt[];
  /** Who committed and did not reveal: these are out. */
  readonly unrevealed: readonly Bidder[];
  /** Fencing token of the winner: higher than that of any grant or sale before. Give it to `TokenGuard` at the resource. */
  readonly token?: number;
  /** Agreed time, milliseconds since 1970. */
  readonly closedAt: number;
}

/** What a bidder is asked with. */
export interface BidQuestion {
  /** The least that is worth bidding now. */
  readonly minimum: number;
  readonly state: AuctionState;
  /** Aborts when the answer would come too late, or nobody wants it any more. */
  readonly signal: AbortSignal;
}

export type BidAnswer = (auction: Auction, question: BidQuestion) => number | undefined | Promise<number | undefined>;
