/** The validators as barriers speak to them: typed answers, and a count of what was sent. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { Certificate } from '../certificates/certificate.ts';
import type { Answer } from '../machine/reducer.ts';
import type { OrderingOptions } from '../ordering.ts';
import { accepted } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import {
  announcementSchema,
  attemptSchema,
  type GenerationRef,
  nonceSchema,
  type Outcome,
  outcomeSchema,
  type RelayedArrival,
  topicOf,
} from './commands.ts';
import type { BarrierTerms } from './terms.ts';

const standingSchema = v.variant('state', [
  /** The generation goes on. */
  v.object({ state: v.literal('gathering') }),
  v.object({ state: v.literal('over'), outcome: outcomeSchema }),
  /** It ended so long ago that nobody knows how. */
  v.object({ state: v.literal('forgotten') }),
  /** The generation goes on, and this participant has no place in it. */
  v.object({ state: v.literal('absent') }),
  v.object({ state: v.literal('withdrawn') }),
]);
export type Standing = v.InferOutput<typeof standingSchema>;

/** What became of an arrival: a place, or what to correct before another try. */
export type ArrivalAnswer =
  | Standing
  | { readonly state: 'other-generation'; readonly generation: number }
  | { readonly state: 'old-attempt'; readonly attempt: number }
  | { readonly state: 'unknown-barrier' };

const openedSchema = v.object({ epoch: attemptSchema, nonce: nonceSchema, generation: attemptSchema });
const relayedSchema = v.object({ refused: v.array(v.number()) });
const statusSchema = v.object({
  epoch: v.number(),
  generation: v.number(),
  expected: v.number(),
  arrivedCount: v.number(),
  arrived: v.array(v.string()),
  missing: v.array(v.string()),
  missingUnnamed: v.number(),
  lost: v.array(v.string()),
  firstArrivalAt: v.nullable(v.number()),
  deadlineAt: v.nullable(v.number()),
  last: v.nullable(outcomeSchema),
});

const sentences = {
  ALREADY_EXISTS: (data: { readonly [key: string]: unknown }) =>
    `A barrier '${data['id']}' exists with other terms: ${JSON.stringify(data['existing'])}, not ${JSON.stringify(data['wanted'])}. Name the same terms, or choose another id.`,
  NOT_PERMITTED: (data: { readonly [key: string]: unknown }) =>
    `'${data['agent']}' cannot come to the barrier '${data['id']}': ${data['reason']}. Come in the name of a participant, from the node where it lives.`,
  LIMIT_EXCEEDED: (data: { readonly [key: string]: unknown }) =>
    data['agent'] === undefined
      ? `The barrier '${data['id']}' cannot be made: ${data['reason']}. Barriers where nobody waits are forgotten after an hour.`
      : `'${data['agent']}' is one too many at the barrier '${data['id']}': ${data['reason']}. Come again when this generation is over.`,
};

export class GroupClient {
  sent = 0;
  readonly #tools: CoordinationTools;

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  async open(
    id: string,
    terms: BarrierTerms,
    options: OrderingOptions,
  ): Promise<{ epoch: number; nonce: Uint8Array; generation: number }> {
    const nonce = this.#tools.rng.bytes(16);
    const command = { kind: 'barrier.open', id, terms, nonce };
    const answer = await this.#submit(command, options);
    return read(openedSchema, accepted(answer, sentences));
  }

  async arrive(
    arrival: { readonly at: GenerationRef; readonly as: string; readonly zone: string; readonly attempt: number },
    options: OrderingOptions,
  ): Promise<ArrivalAnswer> {
    const answer = await this.#submit({ kind: 'barrier.arrive', ...arrival }, options);
    if (!answer.ok && answer.code === 'NOT_FOUND') return { state: 'unknown-barrier' };
    if (!answer.ok && answer.code === 'CONFLICT') {
      const { generation, attempt } = answer.data;
      if (typeof generation === 'number') return { state: 'other-generation', generation };
      if (typeof attempt === 'number') return { state: 'old-attempt', attempt };
    }
    return read(standingSchema, accepted(answer, sentences));
  }

  /** Tells of several arrivals at once; `refused` are the indexes of those that did not count. */
  async relay(
    told: { readonly at: GenerationRef; readonly zone: string; readonly arrivals: readonly RelayedArrival[] },
    options: OrderingOptions,
  ): Promise<{ readonly standing: Standing; readonly refused: readonly number[] }> {
    const value = accepted(await this.#submit({ kind: 'barrier.relay', ...told }, options), sentences);
    return { standing: read(standingSchema, value), refused: read(relayedSchema, value).refused };
  }

  renew(
    renewal: {
      readonly at: GenerationRef;
      readonly as: string;
      readonly attempt: number;
      readonly lost: readonly string[];
    },
    options: OrderingOptions,
  ): Promise<Standing> {
    return this.#standing({ kind: 'barrier.renew', ...renewal }, options);
  }

  report(at: GenerationRef, lost: readonly string[], options: OrderingOptions): Promise<Standing> {
    const command = { kind: 'barrier.report', at, lost };
    return this.#standing(command, options);
  }

  withdraw(
    place: { readonly at: GenerationRef; readonly as: string; readonly attempt: number },
    options: OrderingOptions,
  ): Promise<Standing> {
    return this.#standing({ kind: 'barrier.withdraw', ...place }, options);
  }

  async outcome(at: GenerationRef, options: OrderingOptions): Promise<Standing> {
    this.sent += 1;
    const answer = await this.#tools.client.query({ kind: 'barrier.outcome', at }, options);
    return isGone(answer) ? { state: 'forgotten' } : read(standingSchema, accepted(answer, sentences));
  }

  async status(id: string, options: OrderingOptions): Promise<v.InferOutput<typeof statusSchema> | undefined> {
    this.sent += 1;
    const answer = await this.#tools.client.query({ kind: 'barrier.status', id }, options);
    return isGone(answer) ? undefined : read(statusSchema, accepted(answer, sentences));
  }

  certify(at: GenerationRef, options: OrderingOptions): Promise<Certificate> {
    this.sent += 1;
    return this.#tools.client.certify({ kind: 'barrier.outcome', at }, options);
  }

  /** Hears how generations of this barrier end; `onDoubt` when something may have been missed. */
  hear(at: GenerationRef, onOutcome: (outcome: Outcome) => void, onDoubt: () => void): () => void {
    return this.#tools.client.subscribe(topicOf(at.id), {
      onEvent: (payload) => {
        const checked = v.safeParse(announcementSchema, payload);
        if (!checked.success) onDoubt();
        else if (checked.output.epoch === at.epoch) onOutcome(checked.output.outcome);
      },
      onGap: onDoubt,
    });
  }

  async #standing(command: { readonly kind: string }, options: OrderingOptions): Promise<Standing> {
    const answer = await this.#submit(command, options);
    return isGone(answer) ? { state: 'forgotten' } : read(standingSchema, accepted(answer, sentences));
  }

  #submit(command: { readonly kind: string }, options: OrderingOptions): Promise<Answer> {
    this.sent += 1;
    return this.#tools.client.submit(command, options);
  }
}

/** A barrier is forgotten only when nobody waits there. */
const isGone = (answer: Answer): boolean => !answer.ok && answer.code === 'NOT_FOUND';

function read<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
}
