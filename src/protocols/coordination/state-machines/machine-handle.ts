/** State machines as their users see them, and how a validator says which it has. */
import * as v from 'valibot';
import { type ErrorData, QuorateError } from '../../../errors.ts';
import { decodePayload, encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { mayPass, pause, pauseMs } from '../grants/pause.ts';
import { maxValueBytes } from '../machine/limits.ts';
import type { Answer } from '../machine/reducer.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';
import { accepted } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import { waitUntil } from '../waiting.ts';
import { topicOf } from './reducer.ts';
import type { AnyStateMachine, StateMachine, StateMachineDefinition, StateMachines } from './state-machines.ts';

export class OrderedStateMachines implements StateMachines {
  readonly #tools: CoordinationTools;

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  stateMachine<CommandInput, Result, QueryInput, Answered>(
    definition: StateMachineDefinition<CommandInput, Result, QueryInput, Answered>,
  ): StateMachine<CommandInput, Result, QueryInput, Answered> {
    return new MachineHandle(this.#tools, definition);
  }
}

/**
 * Tells the group, in the name of this validator, which machines it has the code for; to be called at each start, and when this node becomes a
 * validator. Tries until it is told, `signal` aborts (its reason is thrown), or it turns out that this node is no validator (`NOT_PERMITTED`).
 */
export async function declareMachines(
  { client, clock, timeoutMs }: CoordinationTools,
  definitions: readonly AnyStateMachine[],
  signal?: AbortSignal,
): Promise<void> {
  const machines = definitions.map(({ name, version }) => [name, version]);
  for (let attempt = 0; ; attempt++) {
    try {
      accepted(await client.submit({ kind: 'machines.declare', machines }, { signal, timeoutMs }), {
        NOT_PERMITTED: () => 'Only validators declare state machines; this node is none.',
      });
      return;
    } catch (error) {
      if (!mayPass(error)) throw error;
      await pause(clock, pauseMs(attempt), signal);
    }
  }
}

class MachineHandle<CommandInput, Result, QueryInput, Answered>
  implements StateMachine<CommandInput, Result, QueryInput, Answered>
{
  readonly #tools: CoordinationTools;
  readonly #definition: StateMachineDefinition<CommandInput, Result, QueryInput, Answered>;

  constructor(
    tools: CoordinationTools,
    definition: StateMachineDefinition<CommandInput, Result, QueryInput, Answered>,
  ) {
    this.#tools = tools;
    this.#definition = definition;
  }

  get name(): string {
    return this.#definition.name;
  }

  get version(): number {
    return this.#definition.version;
  }

  async submit(command: CommandInput, options?: OrderingOptions): Promise<Result> {
    const { name, version } = this;
    this.#definition.checkCommand(command);
    const bytes = encodePayload(command, maxValueBytes);
    const submitted = { kind: 'machines.submit', name, version, command: bytes };
    return opened<Result>(await this.#tools.client.submit(submitted, options));
  }

  async query(
    query: QueryInput,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<Answered> {
    const { name, version } = this;
    this.#definition.checkQuery(query);
    const bytes = encodePayload(query, maxValueBytes);
    return opened<Answered>(
      await this.#tools.client.query({ kind: 'machines.query', name, version, query: bytes }, options),
    );
  }

  async ready({ signal, timeoutMs = this.#tools.timeoutMs }: OrderingOptions = {}): Promise<void> {
    const { name, version } = this;
    const isActive = (active: Value): true | undefined => (Number(active) >= version ? true : undefined);
    await waitUntil<true>(this.#tools, {
      topic: topicOf(name),
      fromEvent: (event) => isActive(v.is(eventSchema, event) ? event.version : 0),
      read: async (within) =>
        isActive(accepted(await this.#tools.client.query({ kind: 'machines.version', name }, { signal: within }), {})),
      signal,
      timeoutMs,
      timedOut: () =>
        new QuorateError(
          'TIMED_OUT',
          `State machine '${name}' version ${version} was not active within ${timeoutMs} ms: not all validators have declared it.`,
          { name, version, afterMs: timeoutMs },
        ),
    });
  }
}

const eventSchema = v.object({ version: v.number() });

/** The types are the word of the definition, whose code every validator runs. */
function opened<T>(answer: Answer): T {
  const bytes = accepted(answer, {
    STATE_MACHINE_MISSING: missing,
    HANDLER_FAILED: ({ machine, name, message }) =>
      `State machine '${machine}' refused this: ${name}${message === '' ? '' : `: ${message}`}. Nothing was changed.`,
    INVALID_ARGUMENT: ({ machine }) => `The validators' schema of state machine '${machine}' refused this.`,
    LIMIT_EXCEEDED: ({ machine, limit }) =>
      `The state of machine '${machine}' would be larger than ${limit} bytes. Nothing was changed.`,
  });
  const decoded = bytes instanceof Uint8Array ? decodePayload(bytes) : ({ ok: false } as const);
  if (decoded.ok) return decoded.value as T;
  throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
}

function missing({ name, version, active, waitingFor }: ErrorData): string {
  const now = active === undefined ? 'is not active yet' : `is active in version ${active} only`;
  const who = Array.isArray(waitingFor) && waitingFor.length > 0 ? ` Without it: ${waitingFor.join(', ')}.` : '';
  return `State machine '${name}' version ${version} ${now}: all validators must define it (coordination.machines).${who}`;
}
