/** One leader at a time: who leads, and the terms as they follow each other. */
import * as v from 'valibot';
import { decodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';
import type { CoordinationTools } from '../tools.ts';
import { waitUntil } from '../waiting.ts';
import { grantEvent, type LeaderState, leaderState, topicOf } from './commands.ts';
import { refusalError, understood } from './grant-errors.ts';
import type { CampaignOptions, Election, Leader, Leadership } from './grants.ts';

export class OrderedElection implements Election {
  readonly name: string;
  readonly #tools: CoordinationTools;
  readonly #stopping: AbortSignal;
  readonly #campaign: (options?: CampaignOptions) => Promise<Leadership>;

  constructor(
    tools: CoordinationTools,
    name: string,
    parts: { readonly stopping: AbortSignal; readonly campaign: (options?: CampaignOptions) => Promise<Leadership> },
  ) {
    this.name = name;
    this.#tools = tools;
    this.#stopping = parts.stopping;
    this.#campaign = parts.campaign;
  }

  campaign(options?: CampaignOptions): Promise<Leadership> {
    return this.#campaign(options);
  }

  async leader(
    options: OrderingOptions & { readonly consistency?: ReadConsistency } = {},
  ): Promise<Leader | undefined> {
    return leaderOf(await this.#read(options));
  }

  async *observe({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Leader | undefined, void> {
    const either = signal === undefined ? this.#stopping : AbortSignal.any([signal, this.#stopping]);
    let last: LeaderState | undefined;
    for (;;) {
      try {
        last = await this.#next(last, either);
      } catch (error) {
        if (signal?.aborted) return;
        throw error;
      }
      yield leaderOf(last);
    }
  }

  /** The first state after `last` that is heard of, by event or by looking. */
  #next(last: LeaderState | undefined, signal: AbortSignal): Promise<LeaderState> {
    const ifNewer = (state: LeaderState): LeaderState | undefined =>
      last === undefined || isAfter(state, last) ? state : undefined;
    return waitUntil<LeaderState>(this.#tools, {
      topic: topicOf(this.name),
      signal,
      timedOut: () => new QuorateError('TIMED_OUT', 'Nobody said how long to observe.'),
      fromEvent: (payload) => {
        const event = v.safeParse(grantEvent, payload);
        if (!event.success || event.output.type === 'expired') return undefined;
        if (event.output.type === 'vacant') return ifNewer({ token: event.output.token });
        const { node, token, value } = event.output;
        return value === undefined ? undefined : ifNewer({ token, leader: { node, value } });
      },
      read: async (over) => ifNewer(await this.#read({ signal: over })),
    });
  }

  async #read(options: OrderingOptions & { readonly consistency?: ReadConsistency }): Promise<LeaderState> {
    const answer = await this.#tools.client.query({ kind: 'grant.leader', name: this.name }, options);
    if (!answer.ok) throw refusalError(this.name, answer);
    return understood(leaderState, answer.value);
  }
}

/**
 * A term begins after all that had a lower token, and a vacancy after the term of its token. Where nobody leads in both, nothing has
 * changed for who looks, although tokens went on elsewhere.
 */
export function isAfter(state: LeaderState, last: LeaderState): boolean {
  if (state.leader === undefined && last.leader === undefined) return false;
  if (state.token !== last.token) return state.token > last.token;
  return state.leader === undefined && last.leader !== undefined;
}

function leaderOf({ token, leader }: LeaderState): Leader | undefined {
  if (leader === undefined) return undefined;
  const decoded = decodeValue(leader.value);
  const value: Value = decoded.ok ? decoded.value : undefined;
  return { node: leader.node as NodeId, token, value };
}
