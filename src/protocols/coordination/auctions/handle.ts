/** One auction in the hands of a caller. */
import * as v from 'valibot';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import { keepAlive } from '../../../keep-alive.ts';
import type { Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import type { CoordinationTools } from '../tools.ts';
import { waitUntil } from '../waiting.ts';
import { answered, publicTerms, stateFrom, submitSurely, viewFrom } from './answers.ts';
import type {
  Auction,
  AuctionCallOptions,
  AuctionResult,
  AuctionState,
  AuctionTerms,
  BidOptions,
  BidReceipt,
} from './auctions.ts';
import { type AuctionView, resultSchema } from './book.ts';
import { topics } from './commands.ts';
import { followAuction } from './follower.ts';
import type { Revealer } from './revealer.ts';
import { commitmentOf, sealBid } from './sealing.ts';
import { agentSchema, amountSchema, longestMs } from './terms.ts';

const takenSchema = v.object({ amount: amountSchema });
const closedSchema = v.object({ opening: v.number(), result: resultSchema });

export class AuctionHandle implements Auction {
  readonly id: string;
  readonly terms: AuctionTerms;
  readonly #tools: CoordinationTools;
  readonly #revealer: Revealer;
  readonly #opening: number;
  readonly #longestMs: number;
  /** Of the last commitment made here, by agent. */
  readonly #numbers = new Map<string, number>();

  constructor(tools: CoordinationTools, revealer: Revealer, view: AuctionView) {
    this.id = view.id;
    this.terms = publicTerms(view.terms);
    this.#tools = tools;
    this.#revealer = revealer;
    this.#opening = view.opening;
    this.#longestMs = longestMs(view.terms);
    const own = view.bids.some(({ node, amount }) => node === tools.self && amount === undefined);
    if (own && view.phase !== 'closed') revealer.watch({ id: this.id, opening: this.#opening });
  }

  async bid(amount: number, { as, ...options }: BidOptions): Promise<BidReceipt> {
    options.signal?.throwIfAborted();
    const checked = v.safeParse(v.strictObject({ amount: amountSchema, as: agentSchema }), { amount, as });
    if (!checked.success) {
      const message = `A bid is a whole number of the smallest unit, from 0 on, in the name of an agent; not ${String(amount)} as '${String(as)}'.`;
      throw new QuorateError('INVALID_ARGUMENT', message, { fields: { amount, as } });
    }
    this.#requireHere(as);
    const { mechanism } = this.terms;
    if (mechanism === 'english' || mechanism === 'dutch') {
      const command = { kind: 'auction.bid', id: this.id, opening: this.#opening, agent: as, amount } as const;
      const taken = v.parse(takenSchema, await submitSurely(this.#tools, command, options));
      return { agent: as, node: this.#tools.self, amount: taken.amount };
    }
    await this.#commit(as, checked.output.amount, options);
    return { agent: as, node: this.#tools.self, amount };
  }

  async result(options: AuctionCallOptions = {}): Promise<AuctionResult> {
    const { signal, timeoutMs = this.#longestMs + this.#tools.timeoutMs } = options;
    const letGo = keepAlive();
    return waitUntil<AuctionResult>(this.#tools, {
      topic: topics.auction(this.id),
      fromEvent: (payload) => {
        const closed = v.safeParse(closedSchema, payload);
        return closed.success && closed.output.opening === this.#opening ? closed.output.result : undefined;
      },
      read: async (reading) => (await this.#inspect(reading)).result,
      signal,
      timeoutMs,
      timedOut: () =>
        new QuorateError(
          'TIMED_OUT',
          `Auction '${this.id}' was not over after ${timeoutMs} ms. Wait longer, or see how it stands.`,
          {
            name: this.id,
            afterMs: timeoutMs,
          },
        ),
    }).finally(letGo);
  }

  async *watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncIterable<AuctionState> {
    let newest: AuctionView | undefined;
    let told: string | undefined;
    let ended: { readonly error?: unknown } | undefined;
    let wake = (): void => undefined;
    const stop = followAuction(this.#tools, this.id, this.#opening, {
      onView: (view) => {
        const seen = JSON.stringify([view.phase, view.endsAt, view.minimum, view.bids]);
        if (seen !== told) newest = view;
        told = seen;
        wake();
      },
      onEnd: (error) => {
        ended = error === undefined ? {} : { error };
        wake();
      },
    });
    const letGo = keepAlive();
    const onAbort = (): void => wake();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal?.aborted) {
        const view = newest;
        newest = undefined;
        if (view !== undefined) yield stateFrom(view, this.terms);
        else if (ended === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        } else if ('error' in ended) throw ended.error;
        else return;
      }
    } finally {
      stop();
      letGo();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  certificate(options: AuctionCallOptions = {}): Promise<Certificate> {
    return this.#tools.client.certify({ kind: 'auction.inspect', id: this.id, opening: this.#opening }, options);
  }

  /** A new commitment replaces the one before if its number is higher, whoever of this node made that. */
  async #commit(agent: string, amount: number, options: AuctionCallOptions): Promise<void> {
    const { rng, sign, clock, self } = this.#tools;
    // Before the bid is sent: whatever becomes of its reply, it is revealed.
    this.#revealer.watch({ id: this.id, opening: this.#opening });
    const binding = { id: this.id, opening: this.#opening, agent, node: self };
    const opened = { amount, nonce: rng.bytes(32) };
    const commitment = commitmentOf(binding, opened);
    const sealed = sealBid(sign, rng, binding, opened);
    const command = { kind: 'auction.commit', id: this.id, opening: this.#opening, agent, commitment, sealed } as const;
    for (;;) {
      const number = Math.max(Math.floor(clock.wallNow()), (this.#numbers.get(agent) ?? 0) + 1);
      this.#numbers.set(agent, number);
      try {
        await submitSurely(this.#tools, { ...command, number }, options);
        return;
      } catch (error) {
        // Another clock of this node was ahead: an earlier life of the process, another handle.
        const standing = isQuorateError(error, 'CONFLICT') ? error.data['number'] : undefined;
        if (typeof standing !== 'number' || standing < number) throw error;
        this.#numbers.set(agent, Math.max(standing, this.#numbers.get(agent) ?? 0));
      }
    }
  }

  async #inspect(signal: AbortSignal): Promise<AuctionView> {
    const query = { kind: 'auction.inspect', id: this.id, opening: this.#opening };
    const value: Value = answered(await this.#tools.client.query(query, { signal }));
    return viewFrom(value);
  }

  /** Those who are named are bound to their nodes by the terms; for others the registry says where they live. */
  #requireHere(agent: string): void {
    const { self } = this.#tools;
    const named = this.terms.bidders?.find((bidder) => bidder.agent === agent);
    const node = this.terms.bidders === undefined ? this.#tools.locate(agent)?.node : named?.node;
    if (node === self) return;
    const reason = this.terms.bidders === undefined ? 'lives-elsewhere' : 'not-invited';
    const message =
      reason === 'not-invited'
        ? `Agent '${agent}' of this node was not invited to auction '${this.id}'. Invitations are for the node an agent lived on at the opening.`
        : `Agent '${agent}' does not live on this node, so this node cannot bid for it. Register it here, or bid where it lives.`;
    throw new QuorateError('NOT_PERMITTED', message, { reason, id: this.id, agent });
  }
}
