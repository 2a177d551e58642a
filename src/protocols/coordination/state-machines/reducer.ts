/**
 * The users' machines, side by side in the coordination machine.
 *
 * Intuition: validators say in the log which machines they have the code for. A machine begins, or goes on in another version, at the
 * command by which that is true of all validators there are; so all of them begin it at the same place.
 *
 * Invariants: the active version of a machine only rises; a refused command changes no machine; a replica without the code of an
 * active machine stops, rather than answer differently from the others.
 */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { decodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { FatalApplicationError } from '../../pbft/application.ts';
import { maxValueBytes } from '../machine/limits.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import type { AnyStateMachine, Reaction, RunningMachine } from './state-machines.ts';

/** Machines of a group, and definitions of one validator. */
const maxMachines = 64;

const name = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/));
const version = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const bytes = v.pipe(
  v.instance(Uint8Array),
  v.check((given) => given.length <= maxValueBytes, 'larger than a command may be'),
);
const declared = v.pipe(v.array(v.strictTuple([name, version])), v.maxLength(maxMachines));

const machineCommand = v.variant('kind', [
  v.strictObject({ kind: v.literal('machines.declare'), machines: declared }),
  v.strictObject({ kind: v.literal('machines.submit'), name, version, command: bytes }),
]);
const machineQuery = v.variant('kind', [
  v.strictObject({ kind: v.literal('machines.query'), name, version, query: bytes }),
  /** The version that is active; 0 for none. */
  v.strictObject({ kind: v.literal('machines.version'), name }),
]);
const machineSnapshot = v.strictObject({
  declared: v.array(v.strictTuple([v.custom<NodeId>((node) => typeof node === 'string'), declared])),
  active: v.array(v.strictTuple([name, version, v.instance(Uint8Array)])),
  failed: v.array(v.string()),
});

export type MachineCommand = v.InferOutput<typeof machineCommand>;
export type MachineQuery = v.InferOutput<typeof machineQuery>;

interface Active {
  readonly version: number;
  readonly running: RunningMachine;
}

const inOrder = <T>([a]: readonly [string, T, ...unknown[]], [b]: readonly [string, T, ...unknown[]]): number =>
  a < b ? -1 : a > b ? 1 : 0;

export class StateMachinesReducer implements Reducer<MachineCommand, MachineQuery> {
  readonly name = 'machines';
  readonly commands = machineCommand;
  readonly queries = machineQuery;
  /** By name and version. */
  readonly #definitions = new Map<string, AnyStateMachine>();
  readonly #declared = new Map<NodeId, readonly (readonly [string, number])[]>();
  readonly #active = new Map<string, Active>();
  /** Versions that could not take over the state; tried again only when somebody declares them again, so that all try at the same command. */
  readonly #failed = new Set<string>();
  /** For whom it was last found out what is active. Not state: finding it out again changes nothing. */
  #settledFor: readonly NodeId[] | undefined;

  /** Throws `INVALID_OPTIONS` for one definition given twice, or too many. */
  constructor(definitions: readonly AnyStateMachine[]) {
    for (const definition of definitions) this.#definitions.set(idOf(definition.name, definition.version), definition);
    if (this.#definitions.size !== definitions.length || definitions.length > maxMachines) {
      const why = `At most ${maxMachines} state machines can be given, each name and version once.`;
      throw new QuorateError('INVALID_OPTIONS', why, { given: definitions.map((one) => idOf(one.name, one.version)) });
    }
  }

  apply(command: MachineCommand, context: ReducerContext): Answer {
    if (command.kind === 'machines.declare') return this.#declare(command.machines, context);
    this.#activate(context);
    const active = this.#active.get(command.name);
    if (active === undefined || active.version < command.version) return this.#missing(command, context.validators);
    const decoded = decodePayload(command.command);
    const { client } = context;
    if (!decoded.ok || client === undefined) return refused('INVALID_ARGUMENT', { reason: 'no encoded command' });
    const { time, nextToken } = context;
    return answerOf(command.name, active.running.apply(decoded.value, { time, client, nextToken }));
  }

  query(query: MachineQuery): Answer {
    const active = this.#active.get(query.name);
    if (query.kind === 'machines.version') return done(active?.version ?? 0);
    if (active === undefined || active.version < query.version) return this.#missing(query, []);
    const decoded = decodePayload(query.query);
    if (!decoded.ok) return refused('INVALID_ARGUMENT', { reason: 'no encoded query' });
    return answerOf(query.name, active.running.query(decoded.value));
  }

  expire(): void {}

  settled(): undefined {
    return undefined;
  }

  snapshot(): Value {
    return {
      declared: [...this.#declared].sort(inOrder),
      active: [...this.#active]
        .map(([of, active]) => [of, active.version, active.running.snapshot()] as const)
        .sort(inOrder),
      failed: [...this.#failed].sort(),
    };
  }

  restore(snapshot: Value): void {
    const state = v.parse(machineSnapshot, snapshot);
    this.#settledFor = undefined;
    this.#declared.clear();
    for (const [node, machines] of state.declared) this.#declared.set(node, machines);
    this.#failed.clear();
    for (const id of state.failed) this.#failed.add(id);
    this.#active.clear();
    for (const [of, at, stored] of state.active) {
      const running = this.#code(of, at).start();
      running.restore(stored);
      this.#active.set(of, { version: at, running });
    }
  }

  #declare(machines: readonly (readonly [string, number])[], context: ReducerContext): Answer {
    const { client, validators } = context;
    if (client === undefined || !validators.includes(client)) {
      return refused('NOT_PERMITTED', { reason: 'only validators declare state machines' });
    }
    for (const node of this.#declared.keys()) if (!validators.includes(node)) this.#declared.delete(node);
    if (machines.length === 0) this.#declared.delete(client);
    else this.#declared.set(client, machines);
    for (const [of, at] of machines) this.#failed.delete(idOf(of, at));
    this.#settledFor = undefined;
    this.#activate(context);
    return done();
  }

  /** Begins whatever all validators have, the highest version that works. They change with reconfiguration, so it is looked at whenever they are others. */
  #activate(context: ReducerContext): void {
    const { validators } = context;
    if (this.#settledFor === validators) return;
    this.#settledFor = validators;
    const [first] = validators;
    const candidates = first === undefined ? [] : [...(this.#declared.get(first) ?? [])].sort((a, b) => b[1] - a[1]);
    for (const [of, at] of candidates) {
      const before = this.#active.get(of);
      if (before !== undefined && before.version >= at) continue;
      if (before === undefined && this.#active.size >= maxMachines) continue;
      if (this.#failed.has(idOf(of, at)) || !validators.every((node) => this.#has(node, of, at))) continue;
      const running = this.#code(of, at).start();
      if (before !== undefined && !migrated(running, before)) {
        this.#failed.add(idOf(of, at));
        continue;
      }
      this.#active.set(of, { version: at, running });
      context.emit(topicOf(of), { version: at });
    }
  }

  #has(node: NodeId, of: string, at: number): boolean {
    return this.#declared.get(node)?.some(([given, which]) => given === of && which === at) === true;
  }

  #missing(wanted: { readonly name: string; readonly version: number }, validators: readonly NodeId[]): Answer {
    const waitingFor = validators.filter((node) => !this.#has(node, wanted.name, wanted.version));
    const active = this.#active.get(wanted.name)?.version;
    return refused('STATE_MACHINE_MISSING', { name: wanted.name, version: wanted.version, active, waitingFor });
  }

  /** All others have it; without it this replica cannot go on. */
  #code(of: string, at: number): AnyStateMachine {
    const definition = this.#definitions.get(idOf(of, at));
    if (definition !== undefined) return definition;
    const why = `The group runs state machine '${of}' in version ${at}, which this process does not define. Give it as coordination.machines, as all other validators do, and start again.`;
    throw new FatalApplicationError(why, {
      cause: new QuorateError('STATE_MACHINE_MISSING', why, { name: of, version: at }),
    });
  }
}

export const topicOf = (machine: string): string => `machines/${machine}`;
const idOf = (of: string, at: number): string => `${of}@${at}`;

/** False, alike everywhere, when the new version cannot take over the state: the old one stays. */
function migrated(running: RunningMachine, before: Active): boolean {
  try {
    running.migrate(before.running.snapshot(), before.version);
    return true;
  } catch {
    return false; // Whoever submits to the new version is told that it is not active.
  }
}

function answerOf(machine: string, reaction: Reaction): Answer {
  return reaction.ok ? done(reaction.bytes) : refused(reaction.code, { machine, ...reaction.data });
}
