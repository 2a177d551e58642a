/**
 * The user's own replicated state machines: a reducer that every validator runs on the same commands in the same order.
 *
 * Reducers are code, so every validator must have them: definitions are given as `coordination.machines` when the mesh is created. A machine
 * becomes active once all validators have declared it, at the same place of the order for all.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';

/** The only world a reducer knows: no clock, no randomness, no I/O, no memory outside of its state. */
export interface StateMachineContext {
  /** Agreed time, milliseconds since 1970; never goes back. */
  readonly time: number;
  /** The node that submitted the command, authenticated. */
  readonly client: NodeId;
  /** A number higher than all given before in this group: fencing tokens, ids. */
  nextToken(): number;
}

export interface Step<State, Result> {
  readonly state: State;
  /** What `submit` resolves with; at most 64 KiB encoded. */
  readonly result: Result;
}

/**
 * What `defineStateMachine` takes.
 *
 * Without `snapshot` and `restore` the state is plain data (what may travel, see `Value`) that `apply` never changes: it returns another,
 * which shares with the old one what did not change. The library freezes it, so that a reducer that throws has changed
 * nothing. One level of it is copied with each change, so keep levels small (hundreds of entries), or bucket them. At most 16 MiB.
 *
 * With both, the state is whatever you like, an instance of your own class, say, and may be changed in place, at any size: then `apply` must throw
 * before it changes anything. `checkDeterminism` of `quorate/conformance` sees whether it does.
 */
export interface StateMachineOptions<
  State,
  Command,
  Result,
  Query,
  Answer,
  CommandInput = Command,
  QueryInput = Query,
> {
  /** 1 to 64 characters of `a-z A-Z 0-9 . _ -`. */
  readonly name: string;
  /** A whole number from 1 on. Raise it with every change of what `apply` does; give validators the old version too until all have the new. */
  readonly version: number;
  /** Checks commands where they are submitted and again at every validator (any synchronous Standard Schema). */
  readonly command?: StandardSchemaV1<CommandInput, Command>;
  /** Checks queries likewise. */
  readonly queryInput?: StandardSchemaV1<QueryInput, Query>;
  readonly initial: () => State;
  /** Deterministic. What it throws refuses the command (`HANDLER_FAILED`). */
  readonly apply: (state: State, command: Command, context: StateMachineContext) => Step<State, Result>;
  /** Deterministic, and changes nothing. */
  readonly query?: (state: State, query: Query) => Answer;
  /** Equal states give equal values. Must not throw, and not exceed 64 MiB: the validators would stop. */
  readonly snapshot?: (state: State) => Value;
  readonly restore?: (snapshot: Value) => State;
  /** Makes the state of this version of a snapshot of an older one; what it throws keeps the old version. Default: the snapshot is taken as it is. */
  readonly migrate?: (snapshot: Value, fromVersion: number) => State;
}

export interface StateMachine<CommandInput, Result, QueryInput, Answer> {
  readonly name: string;
  readonly version: number;
  /**
   * Runs a command once and resolves with its result. Rejects with `INVALID_ARGUMENT` (the schema says no), `HANDLER_FAILED` (the reducer
   * threw; nothing changed), `STATE_MACHINE_MISSING` (not active yet: `data.waitingFor` names the validators without it),
   * `LIMIT_EXCEEDED` (the state would be too large), `PAYLOAD_TOO_LARGE` (32 KiB), and as every command does.
   *
   * @example
   * const balance = await mesh.coordination.stateMachine(accounts).submit({ deposit: 10, to: 'ada' });
   */
  submit(command: CommandInput, options?: OrderingOptions): Promise<Result>;
  query(
    query: QueryInput,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<Answer>;
  /** Resolves once this version, or a later one, is active. Rejects with `TIMED_OUT` or the reason of `signal`. */
  ready(options?: OrderingOptions): Promise<void>;
}

export interface StateMachines {
  stateMachine<CommandInput, Result, QueryInput, Answer>(
    definition: StateMachineDefinition<CommandInput, Result, QueryInput, Answer>,
  ): StateMachine<CommandInput, Result, QueryInput, Answer>;
}

/** What `defineStateMachine` gives. The types are those of `submit` and `query`. */
export interface StateMachineDefinition<CommandInput, Result, QueryInput, Answer> {
  readonly name: string;
  readonly version: number;
  /** Never there; carries the types. */
  readonly types?: (command: CommandInput, query: QueryInput) => readonly [Result, Answer];
  /** Throws `INVALID_ARGUMENT` when the schema says no. */
  checkCommand(command: unknown): void;
  checkQuery(query: unknown): void;
  /** A machine in its initial state. */
  start(): RunningMachine;
}

/** Any definition, whatever its types. */
export type AnyStateMachine = StateMachineDefinition<never, unknown, never, unknown>;

/** Why a command or query was refused; the same at every replica. */
export interface Refusal {
  readonly code: 'INVALID_ARGUMENT' | 'HANDLER_FAILED' | 'LIMIT_EXCEEDED';
  readonly data: { readonly [key: string]: Value };
}
export type Reaction = { readonly ok: true; readonly bytes: Uint8Array } | ({ readonly ok: false } & Refusal);

/** One replica of one machine, as the reducer holds it. */
export interface RunningMachine {
  apply(command: Value, context: StateMachineContext): Reaction;
  query(query: Value): Reaction;
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
  /** Takes over the snapshot of an older version. Throws, and has changed nothing, when that fails. */
  migrate(snapshot: Uint8Array, fromVersion: number): void;
}
