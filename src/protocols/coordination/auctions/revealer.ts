/**
 * Reveals the sealed bids of this node when the time for it has come. It takes the openings out of the ordered state itself,
 * so it does the same for bids of an earlier life of this process.
 */
import * as v from 'valibot';
import type { CoordinationTools } from '../tools.ts';
import { answered, submitSurely } from './answers.ts';
import type { AuctionView } from './book.ts';
import { followAuction, mayPass } from './follower.ts';
import { unsealBid } from './sealing.ts';

const sealedSchema = v.array(
  v.strictObject({ agent: v.string(), commitment: v.instance(Uint8Array), sealed: v.instance(Uint8Array) }),
);

export class Revealer {
  readonly #tools: CoordinationTools;
  /** By opening: what ends it. */
  readonly #following = new Map<number, () => void>();

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  /** Sees to it that what this node bids in the auction is revealed. */
  watch({ id, opening }: { readonly id: string; readonly opening: number }): void {
    if (this.#following.has(opening)) return;
    let revealing = false;
    const stop = followAuction(this.#tools, id, opening, {
      onView: (view) => {
        if (view.phase !== 'revealing') return;
        if (revealing) return;
        revealing = true; // One at a time; a failure is tried again with the next reading.
        void this.#reveal(view).finally(() => {
          revealing = false;
        });
      },
      onEnd: (error) => {
        this.#following.delete(opening);
        if (error !== undefined) this.#tools.onError(error, `revealing in auction '${id}'`);
      },
    });
    this.#following.set(opening, stop);
  }

  /** Auctions in which something may have to be revealed. */
  get watching(): number {
    return this.#following.size;
  }

  stop(): void {
    for (const stop of this.#following.values()) stop();
    this.#following.clear();
  }

  async #reveal({ id, opening, bids }: AuctionView): Promise<void> {
    const { client, self } = this.#tools;
    if (!bids.some(({ node, amount }) => node === self && amount === undefined)) return;
    try {
      const answer = await client.query({ kind: 'auction.sealed', id, opening, node: self });
      const own = v.parse(sealedSchema, answered(answer));
      await Promise.all(own.map((bid) => this.#revealOne(id, opening, bid)));
    } catch (error) {
      if (!mayPass(error)) this.#tools.onError(error, `revealing in auction '${id}'`);
    }
  }

  async #revealOne(
    id: string,
    opening: number,
    { agent, commitment, sealed }: v.InferOutput<typeof sealedSchema>[number],
  ): Promise<void> {
    const { self, sign } = this.#tools;
    const opened = unsealBid(sign, { id, opening, agent, node: self }, sealed, commitment);
    // Somebody with this node's key sealed it in another way; nothing here can open it.
    if (opened === undefined) return;
    await submitSurely(this.#tools, { kind: 'auction.reveal', id, opening, agent, ...opened }, {});
  }
}
