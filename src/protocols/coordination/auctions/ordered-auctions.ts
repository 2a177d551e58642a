/** `Auctions` over whatever puts commands in order. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { CoordinationTools } from '../tools.ts';
import { answered, stateFrom, submitSurely, termsFrom, viewFrom } from './answers.ts';
import type {
  Auction,
  AuctionCallOptions,
  AuctionOptions,
  AuctionState,
  AuctionSummary,
  Auctions,
  BidAnswer,
  Bidder,
} from './auctions.ts';
import { AutomaticBidder } from './automatic-bidder.ts';
import type { AuctionView } from './book.ts';
import { idSchema } from './commands.ts';
import { AuctionHandle } from './handle.ts';
import { pageSize } from './limits.ts';
import { Revealer } from './revealer.ts';
import { agentSchema } from './terms.ts';

const pageSchema = v.array(
  v.object({
    id: v.string(),
    opening: v.number(),
    mechanism: v.picklist(['sealedBidSecondPrice', 'sealedBidFirstPrice', 'english', 'dutch']),
    phase: v.picklist(['bidding', 'revealing']),
    endsAt: v.number(),
    named: v.boolean(),
  }),
);

export class OrderedAuctions implements Auctions {
  readonly #tools: CoordinationTools;
  readonly #revealer: Revealer;
  readonly #bidders = new Set<AutomaticBidder>();

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
    this.#revealer = new Revealer(tools);
  }

  async auction(options: AuctionOptions): Promise<Auction> {
    options.signal?.throwIfAborted();
    const { id = Buffer.from(this.#tools.rng.bytes(16)).toString('hex'), bidders } = options;
    requireId(id);
    const terms = termsFrom(
      options,
      bidders?.map((agent) => this.#locate(agent)),
    );
    const view = viewFrom(await submitSurely(this.#tools, { kind: 'auction.open', id, terms }, options));
    return this.#handle(view);
  }

  async joinAuction(id: string, options: AuctionCallOptions = {}): Promise<Auction> {
    return this.#handle(await this.#view(id, options));
  }

  async inspectAuction(id: string, options: AuctionCallOptions = {}): Promise<AuctionState> {
    return stateFrom(await this.#view(id, options));
  }

  async openAuctions(options: AuctionCallOptions = {}): Promise<readonly AuctionSummary[]> {
    return this.#list({}, options);
  }

  bidder(agent: AgentId, answer: BidAnswer, { open = false }: { readonly open?: boolean } = {}): () => void {
    if (!v.is(agentSchema, agent) || typeof answer !== 'function') {
      const message =
        'A bidder is the id of an agent of this node, 1 to 256 bytes, and a function that answers for it.';
      throw new QuorateError('INVALID_ARGUMENT', message, { fields: { agent } });
    }
    const bidder = new AutomaticBidder({
      tools: this.#tools,
      revealer: this.#revealer,
      list: (signal) => this.#list({ node: this.#tools.self }, { signal }),
      agent,
      answer,
      open,
    });
    this.#bidders.add(bidder);
    return () => {
      bidder.stop();
      this.#bidders.delete(bidder);
    };
  }

  /** Auctions in which this node may still have something to reveal: stopping now may lose those bids. */
  get revealing(): number {
    return this.#revealer.watching;
  }

  /** Ends bidders and revealing; to be called before the ordering stops. */
  stop(): void {
    for (const bidder of this.#bidders) bidder.stop();
    this.#bidders.clear();
    this.#revealer.stop();
  }

  #handle(view: AuctionView): Auction {
    return new AuctionHandle(this.#tools, this.#revealer, view);
  }

  async #view(id: string, options: AuctionCallOptions): Promise<AuctionView> {
    options.signal?.throwIfAborted();
    requireId(id);
    return viewFrom(answered(await this.#tools.client.query({ kind: 'auction.inspect', id }, options)));
  }

  async #list(which: { readonly node?: string }, options: AuctionCallOptions): Promise<AuctionSummary[]> {
    options.signal?.throwIfAborted();
    const found: AuctionSummary[] = [];
    for (let after = 0; ; ) {
      const answer = await this.#tools.client.query({ kind: 'auction.list', after, ...which }, options);
      const page = v.parse(pageSchema, answered(answer));
      for (const { opening, ...summary } of page) {
        found.push(summary);
        after = opening;
      }
      if (page.length < pageSize) return found;
    }
  }

  #locate(agent: AgentId): Bidder {
    const node = this.#tools.locate(agent)?.node;
    if (node !== undefined) return { agent, node };
    const message = `No node has the agent '${agent}', so it cannot be invited to bid. Register it first, or leave it out.`;
    throw new QuorateError('NOT_FOUND', message, { agent });
  }
}

function requireId(id: string): void {
  if (v.is(idSchema, id)) return;
  const message = 'The id of an auction is a text of 1 to 256 bytes.';
  throw new QuorateError('INVALID_ARGUMENT', message, { fields: { id: 'text of 1 to 256 bytes' } });
}
