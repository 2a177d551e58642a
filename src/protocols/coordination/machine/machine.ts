/**
 * The replicated state machine of coordination: reducers side by side, one clock, one source of tokens.
 *
 * Intuition: whoever applies the same commands in the same order has the same locks, tallies and auctions. Time is what the
 * batch says; deadlines that have passed by then are handled before the command, in an order all share. So an expired lease is over
 * for everybody at the same place in the log.
 *
 * Invariants: bytes that are no command change nothing and are answered; the machine never reads a clock; tokens and revisions only rise;
 * `snapshot` and `restore` are inverse, byte for byte.
 *
 * It is an `Application` of the agreement protocol, and equally runs alone (`LocalOrdering`).
 */
import * as v from 'valibot';
import { decodeValue, encodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { decodePayload, encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import type { Application, CommandContext } from '../../pbft/application.ts';
import { Deadlines } from './deadlines.ts';
import { maxAnswerBytes, maxUndeliveredEvents } from './limits.ts';
import { type Answer, type AnyReducer, done, type ReducerContext, refused } from './reducer.ts';

/** Something that happened, for subscribers of its topic. */
export interface MachineEvent {
  readonly topic: string;
  /** Rises by one with every event of the machine; the same at every replica. */
  readonly revision: number;
  readonly payload: Uint8Array;
}

/** Makes agreed time known when nothing else does. */
export const tickCommand: Uint8Array = encodePayload({ kind: 'tick' }, 64);

export class CoordinationMachine implements Application {
  readonly #reducers: ReadonlyMap<string, AnyReducer>;
  readonly #deadlines = new Deadlines();
  #time = 0;
  /** Of the command being applied; no state. */
  #validators: readonly NodeId[] = [];
  #token = 0;
  #revision = 0;
  #events: MachineEvent[] = [];

  /** Fresh reducers, in their initial state; the machine is their only user from now on. */
  constructor(reducers: readonly AnyReducer[]) {
    this.#reducers = new Map(reducers.map((reducer) => [reducer.name, reducer]));
    if (this.#reducers.size !== reducers.length) throw new Error('Two reducers have one name.');
  }

  apply(command: Uint8Array, { time, client, validators }: CommandContext): Uint8Array {
    this.#validators = validators;
    this.#advance(time);
    return encodeAnswer(this.#run(command, client));
  }

  query(query: Uint8Array): Uint8Array {
    return encodeAnswer(this.#look(query, (reducer, parsed) => reducer.query(parsed)));
  }

  /** What is settled for good, as bytes to sign; undefined while it is open or unknown. */
  settled(query: Uint8Array): Uint8Array | undefined {
    const answer = this.#look(query, (reducer, parsed) => {
      const value = reducer.settled(parsed);
      return value === undefined ? refused('NOT_SETTLED') : done(value);
    });
    return answer.ok ? encodeValue(answer.value) : undefined;
  }

  /** Agreed time at which something is due, if anything is. */
  nextDeadline(): number | undefined {
    return this.#deadlines.next()?.at;
  }

  /** The events since the last call, oldest first. */
  takeEvents(): readonly MachineEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  snapshot(): Uint8Array {
    const reducers = [...this.#reducers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return encodeValue({
      time: this.#time,
      token: this.#token,
      revision: this.#revision,
      deadlines: this.#deadlines.all().map(({ at, reducer, key }) => [at, reducer, key]),
      reducers: reducers.map((reducer) => [reducer.name, encodeValue(reducer.snapshot())]),
    });
  }

  restore(snapshot: Uint8Array): void {
    const decoded = decodeValue(snapshot);
    const state = v.parse(snapshotSchema, decoded.ok ? decoded.value : undefined);
    this.#time = state.time;
    this.#token = state.token;
    this.#revision = state.revision;
    // Those who subscribed hear of a gap from whoever restores.
    this.#events = [];
    this.#deadlines.clear();
    for (const [at, reducer, key] of state.deadlines) this.#deadlines.set(reducer, key, at);
    for (const [name, bytes] of state.reducers) {
      const reducer = this.#reducers.get(name);
      const inner = decodeValue(bytes);
      if (reducer === undefined || !inner.ok) throw new Error(`The snapshot holds '${name}', which is unknown here.`);
      reducer.restore(inner.value);
    }
  }

  #advance(time: number): void {
    if (time > this.#time) this.#time = time;
    for (let due = this.#deadlines.takeDue(this.#time); due !== undefined; due = this.#deadlines.takeDue(this.#time)) {
      this.#reducers.get(due.reducer)?.expire(due.key, this.#context(due.reducer, undefined));
    }
  }

  #run(command: Uint8Array, client: NodeId): Answer {
    const parsed = parse(command);
    if (parsed === undefined) return refused('INVALID_ARGUMENT', { reason: 'no command' });
    if (parsed.kind === 'tick') return done();
    if (parsed.kind === 'read') return this.#orderedRead(parsed.value);
    const reducer = this.#reducers.get(parsed.reducer);
    if (reducer === undefined) return refused('INVALID_ARGUMENT', { reason: `no such command: ${parsed.kind}` });
    const checked = v.safeParse(reducer.commands, parsed.value, { abortEarly: true });
    if (!checked.success) return refused('INVALID_ARGUMENT', { reason: describe(checked.issues[0]) });
    return reducer.apply(checked.output, this.#context(reducer.name, client));
  }

  /** A query that found no quorum of equal answers is ordered instead. */
  #orderedRead(value: Value): Answer {
    const read = v.safeParse(readSchema, value);
    if (!read.success) return refused('INVALID_ARGUMENT', { reason: describe(read.issues[0]) });
    return this.#look(read.output.query, (reducer, parsed) => reducer.query(parsed));
  }

  #look(query: Uint8Array, look: (reducer: AnyReducer, query: { kind: string }) => Answer): Answer {
    const parsed = parse(query);
    const reducer = parsed === undefined ? undefined : this.#reducers.get(parsed.reducer);
    if (parsed === undefined || reducer === undefined) return refused('INVALID_ARGUMENT', { reason: 'no such query' });
    const checked = v.safeParse(reducer.queries, parsed.value, { abortEarly: true });
    if (!checked.success) return refused('INVALID_ARGUMENT', { reason: describe(checked.issues[0]) });
    return look(reducer, checked.output);
  }

  #context(reducer: string, client: NodeId | undefined): ReducerContext {
    return {
      time: this.#time,
      client,
      validators: this.#validators,
      nextToken: () => ++this.#token,
      schedule: (key, at) => this.#deadlines.set(reducer, key, at),
      emit: (topic, payload) => {
        const revision = ++this.#revision;
        // Nobody takes events while a log is replayed: only the count of them is state.
        if (this.#events.length >= maxUndeliveredEvents) this.#events.shift();
        this.#events.push({ topic, revision, payload: encodeAlike(payload) });
      },
    };
  }
}

/** The command that answers a query through the log. */
export const orderedRead = (query: Uint8Array): Uint8Array => encodePayload({ kind: 'read', query }, query.length + 64);

const readSchema = v.strictObject({ kind: v.literal('read'), query: v.instance(Uint8Array) });

const snapshotSchema = v.strictObject({
  time: v.number(),
  token: v.number(),
  revision: v.number(),
  deadlines: v.array(v.strictTuple([v.number(), v.string(), v.string()])),
  reducers: v.array(v.strictTuple([v.string(), v.instance(Uint8Array)])),
});

interface Parsed {
  readonly kind: string;
  readonly reducer: string;
  readonly value: Value;
}

function parse(bytes: Uint8Array): Parsed | undefined {
  const decoded = decodePayload(bytes);
  if (!decoded.ok) return undefined;
  const { value } = decoded;
  if (typeof value !== 'object' || value === null || !('kind' in value) || typeof value.kind !== 'string')
    return undefined;
  const { kind } = value;
  const dot = kind.indexOf('.');
  return { kind, reducer: dot < 0 ? kind : kind.slice(0, dot), value };
}

const describe = (issue: v.BaseIssue<unknown>): string =>
  `${v.getDotPath(issue) ?? 'command'}: ${issue.message}`.slice(0, 256);

function encodeAnswer(answer: Answer): Uint8Array {
  return answer.ok ? encodeAlike(answer.value, true) : encodeAlike([answer.code, answer.data]);
}

/**
 * Answers and events are compared between replicas, and one that took over a snapshot may have built its objects in another order: so what has fields is
 * encoded canonically. Numbers, text and bytes, most of all answers, take the fast way, which gives the same bytes for them.
 */
function encodeAlike(value: Value, wrapped = false): Uint8Array {
  const plain = typeof value !== 'object' || value === null || value instanceof Uint8Array;
  const whole = wrapped ? [value] : value;
  if (plain) return encodePayload(whole, maxAnswerBytes);
  const bytes = encodeValue(whole);
  if (bytes.length <= maxAnswerBytes) return bytes;
  throw new QuorateError('PAYLOAD_TOO_LARGE', `The answer has ${bytes.length} bytes; ${maxAnswerBytes} are allowed.`, {
    bytes: bytes.length,
    limit: maxAnswerBytes,
  });
}
