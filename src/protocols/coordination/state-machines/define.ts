/** Definitions of state machines, and how one runs: schemas, the reducer, its state. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { QuorateError } from '../../../errors.ts';
import { decodePayload, encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { seal } from './seal.ts';
import type {
  AnyStateMachine,
  Reaction,
  Refusal,
  RunningMachine,
  StateMachineContext,
  StateMachineDefinition,
  StateMachineOptions,
} from './state-machines.ts';

/** A state of plain data, about, bytes. */
const maxPlainBytes = 16 * 1024 * 1024;
const maxSnapshotBytes = 64 * 1024 * 1024;
/** What `submit` or `query` resolves with, encoded, bytes. */
const maxResultBytes = 64 * 1024;
const maxMessageLength = 1_024;

/**
 * Defines a replicated state machine. Throws `INVALID_OPTIONS`, and `UNSUPPORTED_VALUE` for an initial state that cannot be stored.
 *
 * @example
 * const tally = defineStateMachine({
 *   name: 'tally', version: 1,
 *   initial: () => ({ yes: 0, no: 0 }),
 *   apply: (state, vote: 'yes' | 'no') => ({ state: { ...state, [vote]: state[vote] + 1 }, result: state[vote] + 1 }),
 *   query: (state, of: 'yes' | 'no') => state[of],
 * });
 */
export function defineStateMachine<State, Command, Result, Query, Answer, CommandInput = Command, QueryInput = Query>(
  options: StateMachineOptions<State, Command, Result, Query, Answer, CommandInput, QueryInput>,
): StateMachineDefinition<CommandInput, Result, QueryInput, Answer> {
  checkOptions(options);
  const { name, version, command, queryInput } = options;
  const start = (): RunningMachine => new Replica(options);
  start();
  const definition: StateMachineDefinition<CommandInput, Result, QueryInput, Answer> = {
    name,
    version,
    checkCommand: (input: unknown) => checkInput(name, 'command', command, input),
    checkQuery: (input: unknown) => checkInput(name, 'query', queryInput, input),
    start,
  };
  defined.add(definition);
  return Object.freeze(definition);
}

const defined = new WeakSet<object>();

/** What was given as an option. Throws `INVALID_OPTIONS` unless `defineStateMachine` made it. */
export function asStateMachine(given: { readonly name: string }): AnyStateMachine {
  if (defined.has(given)) return given as AnyStateMachine;
  throw wrong(`'${given.name}' was not made by defineStateMachine`);
}

class Replica<State, Command, Result, Query, Answer, CommandInput, QueryInput> implements RunningMachine {
  readonly #options: StateMachineOptions<State, Command, Result, Query, Answer, CommandInput, QueryInput>;
  /** Plain states are sealed; others are the user's business. */
  readonly #plain: boolean;
  #state: State;

  constructor(options: StateMachineOptions<State, Command, Result, Query, Answer, CommandInput, QueryInput>) {
    this.#options = options;
    this.#plain = options.snapshot === undefined;
    this.#state = this.#accepted(options.initial());
  }

  apply(input: Value, context: StateMachineContext): Reaction {
    return guarded(() => {
      const command = validated<Command>(this.#options.command, input);
      if (command === undefined) return invalid('command');
      const step = this.#options.apply(this.#state, command.value, context);
      if (typeof step !== 'object' || step === null || !('state' in step)) {
        throw new QuorateError('INVALID_ARGUMENT', 'apply must return { state, result }, and not a promise.');
      }
      const bytes = encodePayload(step.result, maxResultBytes);
      if (this.#plain && seal(step.state) > maxPlainBytes) {
        return { ok: false, code: 'LIMIT_EXCEEDED', data: { limit: maxPlainBytes } };
      }
      this.#state = step.state;
      return { ok: true, bytes };
    });
  }

  query(input: Value): Reaction {
    return guarded(() => {
      const query = validated<Query>(this.#options.queryInput, input);
      if (query === undefined || this.#options.query === undefined) return invalid('query');
      return { ok: true, bytes: encodePayload(this.#options.query(this.#state, query.value), maxResultBytes) };
    });
  }

  /** Keys stay in the order in which they came about, which is the same at every replica, and after `restore`. */
  snapshot(): Uint8Array {
    const { snapshot } = this.#options;
    return encodePayload(snapshot === undefined ? this.#state : snapshot(this.#state), maxSnapshotBytes);
  }

  restore(snapshot: Uint8Array): void {
    const value = read(snapshot);
    const { restore } = this.#options;
    // A plain state is what its snapshot is: `encodePayload` and `decodePayload` are inverse for sealed values.
    this.#state = this.#accepted(restore === undefined ? (value as State) : restore(value));
  }

  migrate(snapshot: Uint8Array, fromVersion: number): void {
    const { migrate } = this.#options;
    if (migrate === undefined) this.restore(snapshot);
    else this.#state = this.#accepted(migrate(read(snapshot), fromVersion));
  }

  #accepted(state: State): State {
    if (this.#plain) seal(state);
    return state;
  }
}

function read(snapshot: Uint8Array): Value {
  const decoded = decodePayload(snapshot);
  if (!decoded.ok) throw new QuorateError('INVALID_ARGUMENT', 'This is no snapshot of a state machine.');
  return decoded.value;
}

function guarded(run: () => Reaction): Reaction {
  try {
    return run();
  } catch (error) {
    return { ok: false, code: 'HANDLER_FAILED', data: described(error) };
  }
}

const invalid = (what: string): Reaction => ({
  ok: false,
  code: 'INVALID_ARGUMENT',
  data: { reason: `no such ${what}` },
});

/**
 * What a thrown error says, alike everywhere. What the engine says of its own errors differs between its versions, and the answer is part of what
 * replicas compare; so of those only the name is told.
 */
function described(error: unknown): Refusal['data'] {
  if (!(error instanceof Error)) return { name: 'Error', message: typeof error === 'string' ? cut(error) : '' };
  const engine = engineErrors.has(Object.getPrototypeOf(error));
  return { name: cut(String(error.name)), message: engine ? '' : cut(String(error.message)) };
}

const cut = (text: string): string => text.slice(0, maxMessageLength).toWellFormed();

const engineErrors: ReadonlySet<unknown> = new Set(
  [TypeError, RangeError, ReferenceError, SyntaxError, URIError, EvalError, AggregateError, DOMException].map(
    ({ prototype }) => prototype,
  ),
);

/** Undefined when the schema says no. */
function validated<T>(
  schema: StandardSchemaV1<unknown, T> | StandardSchemaV1<never, T> | undefined,
  input: unknown,
): { readonly value: T } | undefined {
  if (schema === undefined) return { value: input as T };
  const result = (schema as StandardSchemaV1<unknown, T>)['~standard'].validate(input);
  if (result instanceof Promise) throw asynchronous();
  return result.issues === undefined ? { value: result.value } : undefined;
}

const asynchronous = (): QuorateError =>
  new QuorateError(
    'INVALID_OPTIONS',
    'The schema of a state machine must be synchronous: validators cannot wait while they apply a command.',
  );

function checkInput<T>(
  name: string,
  what: string,
  schema: StandardSchemaV1<never, T> | StandardSchemaV1<unknown, T> | undefined,
  input: unknown,
): void {
  if (schema === undefined) return;
  const result = (schema as StandardSchemaV1<unknown, T>)['~standard'].validate(input);
  if (result instanceof Promise) throw asynchronous();
  const [issue] = result.issues ?? [];
  if (issue === undefined) return;
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
  throw new QuorateError(
    'INVALID_ARGUMENT',
    `This is no ${what} of state machine '${name}': ${path === '' ? '' : `${path}: `}${issue.message}`,
    { name, path, issues: result.issues?.length ?? 0 },
  );
}

function checkOptions(options: object): void {
  const given = options as Readonly<Record<string, unknown>>;
  const { name, version } = given;
  if (typeof name !== 'string' || !/^[\w.-]{1,64}$/.test(name)) {
    throw wrong('name must be 1 to 64 characters of a-z A-Z 0-9 . _ -');
  }
  if (!Number.isSafeInteger(version) || (version as number) < 1)
    throw wrong('version must be a whole number from 1 on');
  for (const key of ['initial', 'apply'])
    if (typeof given[key] !== 'function') throw wrong(`${key} must be a function`);
  for (const key of ['query', 'snapshot', 'restore', 'migrate']) {
    if (given[key] !== undefined && typeof given[key] !== 'function') throw wrong(`${key} must be a function`);
  }
  if ((given['snapshot'] === undefined) !== (given['restore'] === undefined)) {
    throw wrong('snapshot and restore belong together');
  }
}

const wrong = (why: string): QuorateError => new QuorateError('INVALID_OPTIONS', `This is no state machine: ${why}.`);
