/** Bids by itself for an agent of this node: hears of auctions, asks the agent, bids what it says. */
import type { Timer } from '../../../clock.ts';
import { isQuorateError } from '../../../errors.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { CoordinationTools } from '../tools.ts';
import { stateFrom } from './answers.ts';
import type { AuctionState, AuctionSummary, BidAnswer } from './auctions.ts';
import type { AuctionView } from './book.ts';
import { topics } from './commands.ts';
import { followAuction, mayPass } from './follower.ts';
import { AuctionHandle } from './handle.ts';
import { maxOpen } from './limits.ts';
import type { Revealer } from './revealer.ts';

/** How often the list of auctions is read although nothing was heard, milliseconds. Mends lost events. */
const sweepMs = 10_000;

export interface AutomaticBidderParts {
  readonly tools: CoordinationTools;
  readonly revealer: Revealer;
  /** The auctions this node may bid in. */
  readonly list: (signal: AbortSignal) => Promise<readonly AuctionSummary[]>;
  readonly agent: AgentId;
  readonly answer: BidAnswer;
  readonly open: boolean;
}

export class AutomaticBidder {
  readonly #parts: AutomaticBidderParts;
  readonly #participations = new Map<string, Participation>();
  readonly #over = new AbortController();
  readonly #unsubscribe: (() => void)[];
  #timer: Timer;
  #sweeping = false;

  constructor(parts: AutomaticBidderParts) {
    this.#parts = parts;
    const { client, self } = parts.tools;
    const wanted = parts.open ? [topics.invited(self), topics.open] : [topics.invited(self)];
    this.#unsubscribe = wanted.map((topic) =>
      client.subscribe(topic, {
        onEvent: (payload) => this.#consider(idIn(payload)),
        onGap: () => void this.#sweep(),
      }),
    );
    this.#timer = this.#sweepLater();
    void this.#sweep();
  }

  stop(): void {
    this.#over.abort();
    this.#timer.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const participation of this.#participations.values()) participation.stop();
    this.#participations.clear();
  }

  #sweepLater(): Timer {
    return this.#parts.tools.clock.after(sweepMs, () => {
      this.#timer = this.#sweepLater();
      void this.#sweep();
    });
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      for (const { id, named } of await this.#parts.list(this.#over.signal)) {
        if (named || this.#parts.open) this.#consider(id);
      }
    } catch (error) {
      const { tools, agent } = this.#parts;
      if (!this.#over.signal.aborted && !mayPass(error)) tools.onError(error, `bidder '${agent}'`);
    } finally {
      this.#sweeping = false;
    }
  }

  #consider(id: string | undefined): void {
    if (id === undefined || this.#over.signal.aborted || this.#participations.has(id)) return;
    if (this.#participations.size >= maxOpen) return; // No more are open at once; the next sweep finds it.
    const participation = new Participation(this.#parts, id, () => this.#participations.delete(id));
    this.#participations.set(id, participation);
  }
}

/** One agent in one auction. */
class Participation {
  readonly #parts: AutomaticBidderParts;
  readonly #id: string;
  readonly #onEnd: () => void;
  readonly #over = new AbortController();
  readonly #stopFollowing: () => void;
  #handle: AuctionHandle | undefined;
  #newest: AuctionView | undefined;
  #asking = false;
  /** What it was last asked with; the same is not asked twice. */
  #askedAt: number | undefined;
  #out = false;

  constructor(parts: AutomaticBidderParts, id: string, onEnd: () => void) {
    this.#parts = parts;
    this.#id = id;
    this.#onEnd = onEnd;
    this.#stopFollowing = followAuction(parts.tools, id, undefined, {
      onView: (view) => void this.#onView(view),
      onEnd: (error) => {
        // An auction that is forgotten before it was read is over for this bidder too.
        if (error !== undefined && !isQuorateError(error, 'NOT_FOUND')) this.#report(error);
        this.stop();
      },
    });
  }

  stop(): void {
    this.#over.abort(new Error('The auction takes no answer any more.'));
    this.#stopFollowing();
    this.#onEnd();
  }

  async #onView(view: AuctionView): Promise<void> {
    const { tools, revealer } = this.#parts;
    this.#newest = view;
    if (!this.#mayBid(view)) {
      this.#giveUp();
      return;
    }
    // Also reveals what an earlier life of this process bid.
    this.#handle ??= new AuctionHandle(tools, revealer, view);
    if (view.phase !== 'bidding') this.#giveUp();
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (let now = this.#next(); now !== undefined; now = this.#next()) await this.#ask(now);
    } catch (error) {
      if (!this.#over.signal.aborted) this.#report(error);
    } finally {
      this.#asking = false;
    }
  }

  #giveUp(): void {
    this.#out = true;
    this.#over.abort(new Error('Bidding is over.'));
  }

  #mayBid({ terms }: AuctionView): boolean {
    const { agent, open, tools } = this.#parts;
    if (terms.bidders === undefined) return open;
    return terms.bidders.some((bidder) => bidder.agent === agent && bidder.node === tools.self);
  }

  /** The view to ask the agent about, if there is one. */
  #next(): AuctionView | undefined {
    const view = this.#newest;
    if (view === undefined || this.#out || this.#over.signal.aborted || view.minimum === this.#askedAt)
      return undefined;
    const { agent, tools } = this.#parts;
    const mine = ({ agent: other, node }: { agent: string; node: string }): boolean =>
      other === agent && node === tools.self;
    // Who leads has nothing to say; who has a sealed bid (of an earlier life, too) has said it.
    if (view.terms.mechanism === 'english') return view.leader !== undefined && mine(view.leader) ? undefined : view;
    return view.bids.some(mine) ? undefined : view;
  }

  async #ask(view: AuctionView): Promise<void> {
    const { agent, answer } = this.#parts;
    const handle = this.#handle as AuctionHandle;
    const { minimum, terms } = view;
    this.#askedAt = minimum;
    const { signal } = this.#over;
    const state: AuctionState = stateFrom(view, handle.terms);
    const amount = await answer(handle, { minimum, state, signal });
    if (signal.aborted) return;
    if (amount === undefined || amount < minimum) {
      if (terms.mechanism !== 'dutch') this.#out = true;
      return;
    }
    try {
      await handle.bid(amount, { as: agent, signal });
    } catch (error) {
      // Others were faster; the next view says how it stands, or that it is over.
      if (mayPass(error)) this.#askedAt = undefined; // Asked again with the next view, if there is time.
      const outrun = isQuorateError(error, 'CONFLICT') || isQuorateError(error, 'NOT_PERMITTED');
      if (!(outrun && (terms.mechanism === 'english' || terms.mechanism === 'dutch'))) throw error;
    }
  }

  #report(error: unknown): void {
    this.#parts.tools.onError(error, `bidder '${this.#parts.agent}' in auction '${this.#id}'`);
  }
}

function idIn(payload: Value): string | undefined {
  const id = typeof payload === 'object' && payload !== null && 'id' in payload ? payload.id : undefined;
  return typeof id === 'string' ? id : undefined;
}
