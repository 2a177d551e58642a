/**
 * Barriers as a part of the coordination machine: commands in, answers, events and deadlines out. What a generation is, and when it ends, is
 * in `generations.ts`.
 *
 * Invariants: a command for a generation that has ended changes nothing, and is answered with how it ended where that is still known. An aggregator
 * (`barrier.relay`) adds nothing that a participant's node has not signed for this very generation. Places of all barriers together are bounded.
 */

import { encodeValue } from '../../../codec.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import {
  arrivalBytes,
  type BarrierCommand,
  type BarrierQuery,
  commandSchema,
  type GenerationRef,
  type Outcome,
  querySchema,
  type RelayedArrival,
  topicOf,
} from './commands.ts';
import { type Admission, Generations } from './generations.ts';
import { barriersFromSnapshot, snapshotOfBarrier } from './snapshot.ts';
import type { BarrierTerms } from './terms.ts';

const maxBarriers = 10_000;
/** Participants of all barriers together; each costs up to about a kilobyte. */
const maxPlaces = 50_000;
/** A barrier where nobody waits is forgotten after this time. */
const forgetAfterMs = 3_600_000;

/** True when `signature` is the node's on `bytes`. Must be the same at every replica. */
export type VerifySignature = (node: NodeId, bytes: Uint8Array, signature: Uint8Array) => boolean;

type CommandOf<Kind extends BarrierCommand['kind']> = Extract<BarrierCommand, { kind: Kind }>;

export class BarrierReducer implements Reducer<BarrierCommand, BarrierQuery> {
  readonly name = 'barrier';
  readonly commands = commandSchema;
  readonly queries = querySchema;
  readonly #verify: VerifySignature;
  readonly #barriers = new Map<string, Generations>();
  #places = 0;

  constructor(verify: VerifySignature) {
    this.#verify = verify;
  }

  apply(command: BarrierCommand, context: ReducerContext): Answer {
    const { client } = context;
    if (client === undefined) return refused('INVALID_ARGUMENT', { reason: 'no client' });
    if (command.kind === 'barrier.open') return this.#open(command, context);
    const barrier = this.#find(command.at);
    if (barrier === undefined) return refused('NOT_FOUND', { id: command.at.id });
    if (command.at.generation > barrier.generation) {
      return refused('INVALID_ARGUMENT', { reason: 'a generation that has not begun', generation: barrier.generation });
    }
    switch (command.kind) {
      case 'barrier.arrive':
        return this.#arrive(barrier, command, client, context);
      case 'barrier.relay':
        return this.#relay(barrier, command, client, context);
      case 'barrier.renew':
        return this.#renew(barrier, command, client, context);
      case 'barrier.report':
        return this.#report(barrier, command, client, context);
      case 'barrier.withdraw':
        return this.#withdraw(barrier, command, client, context);
    }
  }

  query(query: BarrierQuery): Answer {
    if (query.kind === 'barrier.status') {
      const barrier = this.#barriers.get(query.id);
      return barrier === undefined ? refused('NOT_FOUND', { id: query.id }) : done(statusOf(barrier));
    }
    const barrier = this.#find(query.at);
    return barrier === undefined ? refused('NOT_FOUND', { id: query.at.id }) : stateOf(barrier, query.at.generation);
  }

  settled(query: BarrierQuery): Value | undefined {
    if (query.kind !== 'barrier.outcome') return undefined;
    const barrier = this.#find(query.at);
    const ended = barrier?.endedOf(query.at.generation);
    return barrier === undefined || ended === undefined ? undefined : announcement(barrier, ended.outcome);
  }

  expire(key: string, context: ReducerContext): void {
    const barrier = this.#barriers.get(key.slice(2));
    if (barrier === undefined) return;
    if (key.startsWith('f/')) {
      this.#barriers.delete(barrier.id);
      this.#places -= barrier.expected;
    } else if (key.startsWith('d/')) {
      const verdict = barrier.verdictAtDeadline();
      this.#end(barrier, verdict === 'open' ? '' : verdict, context);
    } else {
      barrier.lapse(context.time);
      this.#settle(barrier, context);
    }
  }

  snapshot(): Value {
    const sorted = [...this.#barriers.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    return sorted.map(snapshotOfBarrier);
  }

  restore(snapshot: Value): void {
    this.#barriers.clear();
    this.#places = 0;
    for (const barrier of barriersFromSnapshot(snapshot)) {
      this.#barriers.set(barrier.id, barrier);
      this.#places += barrier.expected;
    }
  }

  #find(at: GenerationRef): Generations | undefined {
    const barrier = this.#barriers.get(at.id);
    return barrier?.epoch === at.epoch ? barrier : undefined;
  }

  #open({ id, terms, nonce }: CommandOf<'barrier.open'>, context: ReducerContext): Answer {
    let barrier = this.#barriers.get(id);
    if (barrier !== undefined && !sameTerms(barrier.terms, terms)) {
      return refused('ALREADY_EXISTS', { id, existing: barrier.terms, wanted: terms });
    }
    if (barrier === undefined) {
      const made = new Generations(id, terms, context.nextToken(), nonce);
      if (this.#barriers.size >= maxBarriers || this.#places + made.expected > maxPlaces) {
        return refused('LIMIT_EXCEEDED', { id, reason: 'too many barriers', limit: maxBarriers, places: maxPlaces });
      }
      barrier = made;
      this.#barriers.set(id, barrier);
      this.#places += barrier.expected;
    }
    if (barrier.arrivals.size === 0) context.schedule(`f/${id}`, context.time + forgetAfterMs);
    return done({ epoch: barrier.epoch, nonce: barrier.nonce, generation: barrier.generation });
  }

  #arrive(
    barrier: Generations,
    { at, as, zone, attempt }: CommandOf<'barrier.arrive'>,
    client: NodeId,
    context: ReducerContext,
  ): Answer {
    if (at.generation < barrier.generation) {
      // It may be the second message of one whose first was counted.
      if (barrier.attended(at.generation, client, as, attempt)) return stateOf(barrier, at.generation);
      return refused('CONFLICT', { reason: 'generation', generation: barrier.generation });
    }
    const admission = barrier.admit({ node: client, as, zone, attempt }, context.time);
    if (!admission.admitted) return refusalOf(barrier, admission, as, zone);
    this.#settle(barrier, context);
    return stateOf(barrier, at.generation);
  }

  #relay(
    barrier: Generations,
    { at, zone, arrivals }: CommandOf<'barrier.relay'>,
    client: NodeId,
    context: ReducerContext,
  ): Answer {
    if (at.generation < barrier.generation) {
      return done({ ...stateValue(barrier, at.generation), refused: arrivals.map((_, index) => index) });
    }
    const turnedAway: number[] = [];
    for (const [index, arrival] of arrivals.entries()) {
      // What the client says of itself it has signed with the command.
      const signed = arrival.node === client || this.#isSigned(barrier, zone, arrival);
      const { node, as, attempt } = arrival;
      if (!signed || !barrier.admit({ node, as, zone, attempt }, context.time).admitted) turnedAway.push(index);
    }
    this.#settle(barrier, context);
    return done({ ...stateValue(barrier, at.generation), refused: turnedAway });
  }

  #isSigned(barrier: Generations, zone: string, { node, as, attempt, signature }: RelayedArrival): boolean {
    const statement = arrivalBytes({ at: barrier.at, nonce: barrier.nonce, zone, as, attempt });
    return this.#verify(node as NodeId, statement, signature);
  }

  #renew(
    barrier: Generations,
    { at, as, attempt, lost }: CommandOf<'barrier.renew'>,
    client: NodeId,
    context: ReducerContext,
  ): Answer {
    if (at.generation < barrier.generation) return stateOf(barrier, at.generation);
    const arrival = barrier.arrivalOf(client, as);
    if (arrival === undefined || arrival.attempt < attempt) return done({ state: 'absent' });
    arrival.until = context.time + barrier.terms.leaseMs;
    barrier.report(client, lost);
    this.#settle(barrier, context);
    return stateOf(barrier, at.generation);
  }

  #report(
    barrier: Generations,
    { at, lost }: CommandOf<'barrier.report'>,
    client: NodeId,
    context: ReducerContext,
  ): Answer {
    // Before anybody waits there is nothing to be lost from.
    if (at.generation === barrier.generation && barrier.arrivals.size > 0) {
      barrier.report(client, lost);
      this.#settle(barrier, context);
    }
    return stateOf(barrier, at.generation);
  }

  #withdraw(
    barrier: Generations,
    { at, as, attempt }: CommandOf<'barrier.withdraw'>,
    client: NodeId,
    context: ReducerContext,
  ): Answer {
    if (at.generation < barrier.generation) return stateOf(barrier, at.generation);
    if (!barrier.withdraw(client, as, attempt)) {
      return refused('NOT_PERMITTED', { id: barrier.id, agent: as, reason: 'no participant of this barrier' });
    }
    this.#settle(barrier, context);
    return done({ state: 'withdrawn' });
  }

  /** Ends the generation if it is time, and wishes for the deadlines of what goes on. */
  #settle(barrier: Generations, context: ReducerContext): void {
    const verdict = barrier.verdict();
    if (verdict !== undefined) {
      this.#end(barrier, verdict === 'open' ? '' : verdict, context);
      return;
    }
    if (barrier.arrivals.size === 0) {
      barrier.forgetLosses();
      this.#rest(barrier, context);
      return;
    }
    context.schedule(`f/${barrier.id}`, undefined);
    context.schedule(`d/${barrier.id}`, barrier.deadlineAt);
    context.schedule(`l/${barrier.id}`, barrier.nextLapse());
  }

  #end(barrier: Generations, reason: Outcome['reason'], context: ReducerContext): void {
    const opened = reason === '';
    const outcome = barrier.end(opened, reason, opened ? context.nextToken() : 0);
    this.#rest(barrier, context);
    context.emit(topicOf(barrier.id), announcement(barrier, outcome));
  }

  /** Nobody waits. */
  #rest(barrier: Generations, context: ReducerContext): void {
    context.schedule(`d/${barrier.id}`, undefined);
    context.schedule(`l/${barrier.id}`, undefined);
    context.schedule(`f/${barrier.id}`, context.time + forgetAfterMs);
  }
}

const announcement = (barrier: Generations, outcome: Outcome): Value => ({
  id: barrier.id,
  epoch: barrier.epoch,
  outcome,
});

function stateValue(barrier: Generations, generation: number): { [key: string]: Value } {
  if (generation >= barrier.generation) return { state: 'gathering' };
  const ended = barrier.endedOf(generation);
  return ended === undefined ? { state: 'forgotten' } : { state: 'over', outcome: ended.outcome };
}

const stateOf = (barrier: Generations, generation: number): Answer => done(stateValue(barrier, generation));

function refusalOf(
  barrier: Generations,
  admission: Extract<Admission, { admitted: false }>,
  as: string,
  zone: string,
): Answer {
  const about = { id: barrier.id, agent: as };
  switch (admission.why) {
    case 'stranger':
      return refused('NOT_PERMITTED', { ...about, reason: 'no participant of this barrier' });
    case 'held':
      return refused('NOT_PERMITTED', { ...about, reason: 'another node waits in this name' });
    case 'no-zone':
      return refused('NOT_PERMITTED', { ...about, zone, reason: 'nobody is waited for in this zone' });
    case 'full':
      return refused('LIMIT_EXCEEDED', { ...about, zone, reason: 'everybody who is waited for here has come' });
    case 'withdrawn':
      return refused('CONFLICT', { ...about, reason: 'attempt', attempt: admission.attempt });
  }
}

function statusOf(barrier: Generations): Value {
  const { missing, unnamed } = barrier.missing();
  const last = barrier.ended.at(-1)?.outcome;
  return {
    epoch: barrier.epoch,
    generation: barrier.generation,
    expected: barrier.expected,
    arrivedCount: barrier.arrivals.size,
    arrived: barrier.arrived(),
    missing,
    missingUnnamed: unnamed,
    lost: barrier.lost(),
    firstArrivalAt: barrier.firstArrivalAt ?? null,
    deadlineAt: barrier.deadlineAt ?? null,
    last: last ?? null,
  };
}

const sameTerms = (a: BarrierTerms, b: BarrierTerms): boolean => Buffer.compare(encodeValue(a), encodeValue(b)) === 0;
