/** A part of the coordination machine: what reducers are given, and what they answer. */
import type * as v from 'valibot';
import type { ErrorCode } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';

/** What a command or query ended with. A refusal is an answer like any other: the same at every replica. */
export type Answer =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly code: ErrorCode; readonly data: { readonly [key: string]: Value } };

export const done = (value: Value = undefined): Answer => ({ ok: true, value });
export const refused = (code: ErrorCode, data: { readonly [key: string]: Value } = {}): Answer => ({
  ok: false,
  code,
  data,
});

/** The only world a reducer knows. */
export interface ReducerContext {
  /** Agreed time, milliseconds since 1970; never goes back. */
  readonly time: number;
  /** The node that submitted the command; while a deadline is handled, nobody. */
  readonly client: NodeId | undefined;
  /** Who decides at this place in the log, in the order of their configuration. */
  readonly validators: readonly NodeId[];
  /** A number higher than all given before, by any reducer: fencing tokens. */
  nextToken(): number;
  /** Calls `expire(key)` at the first command at or after this agreed time; replaces what was wished for the key; undefined takes it back. */
  schedule(key: string, at: number | undefined): void;
  /** Tells whoever subscribed to the topic. Topics of a reducer begin with its name and a slash. */
  emit(topic: string, payload: Value): void;
}

/**
 * Deterministic: equal commands in equal order give equal answers, events and snapshots at every replica. State is changed in place.
 * Nothing may throw once something has changed. Everything is bounded: one more is refused with `LIMIT_EXCEEDED`.
 */
export interface Reducer<Command extends { kind: string } = never, Query extends { kind: string } = never> {
  /** Commands and queries are routed by it: `<name>.<verb>`. */
  readonly name: string;
  /** What is no command or query of this shape is answered with `INVALID_ARGUMENT` and changes nothing. */
  readonly commands: v.GenericSchema<unknown, Command>;
  readonly queries: v.GenericSchema<unknown, Query>;
  apply(command: Command, context: ReducerContext): Answer;
  query(query: Query): Answer;
  /** A deadline of `schedule` has passed. */
  expire(key: string, context: ReducerContext): void;
  /** What will never change again, for a certificate; undefined while it may. */
  settled(query: Query): Value | undefined;
  /** The whole state; equal states give equal values, maps sorted or in an order that is part of the state. */
  snapshot(): Value;
  /** Takes over what `snapshot` gave. */
  restore(snapshot: Value): void;
}

/** A reducer as the machine holds it. */
export type AnyReducer = Reducer<{ kind: string }, { kind: string }>;
