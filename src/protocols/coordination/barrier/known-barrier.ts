/** What this node knows of a barrier: its terms, and which generation is next. Old knowledge costs a round trip and nothing else. */
import type { NodeId } from '../../../node-id.ts';
import type { OrderingOptions } from '../ordering.ts';
import type { CoordinationTools } from '../tools.ts';
import type { GenerationRef } from './commands.ts';
import type { GroupClient } from './group-client.ts';
import { type BarrierTerms, shareOf } from './terms.ts';

export class KnownBarrier {
  readonly id: string;
  readonly terms: BarrierTerms;
  /** An arrival is renewed this often, milliseconds: two may be lost without harm. */
  readonly renewMs: number;
  readonly #group: GroupClient;
  readonly #tools: CoordinationTools;
  /** Named participants that this node has seen in the registry. */
  readonly #seen = new Set<string>();
  #epoch = 0;
  #generation = 0;
  #nonce = new Uint8Array(0);

  constructor(id: string, terms: BarrierTerms, group: GroupClient, tools: CoordinationTools) {
    this.id = id;
    this.terms = terms;
    this.renewMs = Math.floor(terms.leaseMs / 3);
    this.#group = group;
    this.#tools = tools;
  }

  get at(): GenerationRef {
    return { id: this.id, epoch: this.#epoch, generation: this.#generation };
  }

  get nonce(): Uint8Array {
    return this.#nonce;
  }

  /** Makes it where it is not, or not any more. */
  async reopen(options: OrderingOptions): Promise<void> {
    const { epoch, nonce, generation } = await this.#group.open(this.id, this.terms, options);
    if (epoch < this.#epoch) return;
    if (epoch > this.#epoch) this.#generation = 0;
    this.#epoch = epoch;
    this.#nonce = new Uint8Array(nonce);
    this.begin(generation);
  }

  begin(generation: number): void {
    this.#generation = Math.max(this.#generation, generation);
  }

  /** A generation has ended, so the next is on. */
  after(at: { readonly epoch: number; readonly generation: number }): void {
    if (at.epoch === this.#epoch) this.begin(at.generation + 1);
  }

  /** Named participants that were in the registry, and are not. */
  vanished(): string[] {
    const { who } = this.terms;
    if (who.kind !== 'list') return [];
    return who.agents.filter((agent) => {
      if (this.#tools.locate(agent) === undefined) return this.#seen.has(agent);
      this.#seen.add(agent);
      return false;
    });
  }

  /** Named participants that live on this node. */
  own(self: NodeId): string[] {
    const { who } = this.terms;
    return who.kind === 'list' ? who.agents.filter((agent) => this.#tools.locate(agent)?.node === self) : [];
  }

  /** How many are expected from a zone; 0: nobody can know. */
  shareOf(zone: string): number {
    const { who } = this.terms;
    if (who.kind === 'list') return who.agents.filter((agent) => this.#tools.locate(agent)?.zone === zone).length;
    return shareOf(who, zone) ?? 0;
  }
}
