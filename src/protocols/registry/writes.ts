/**
 * Changes to the agents of this node, each in two steps: `accept` checks what was given, which may have to
 * wait for the user's schema, and gives a step that is applied at once or not at all. Nothing can come between the
 * check that an id is free and its claim, so of two racers exactly one wins. An applied step can be
 * undone until it is committed; only then are handlers' ends told, so an undone step was never seen.
 */
import { equalValues } from '../../crdt/registry-criteria.ts';
import { type AgentRecord, makeRecord, type RecordFields, type StrongClaim } from '../../crdt/registry-record.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { AgentHandler } from '../messaging/messaging.ts';
import { acceptChanges, acceptRegistration, type CustomSchema } from './metadata.ts';
import { type OwnAgents, OwnRegistration, type RegistrationOwner } from './own-agents.ts';
import type { BatchOperation } from './registry.ts';

/** A change that stands, and can still be taken back. */
export interface Applied<Custom> {
  readonly registration?: OwnRegistration<Custom>;
  undo(): void;
  commit(): void;
}

/** Applies the change. Throws what stands against it, and then has changed nothing. */
export type Step<Custom> = () => Applied<Custom>;

/** Where the agents of this node are written for everybody. Each either does all or throws and does nothing. */
export interface RecordSink {
  write(record: AgentRecord): void;
  erase(id: AgentId): void;
}

export interface WritesOptions<Custom> {
  readonly self: NodeId;
  readonly zone: string;
  readonly schema: CustomSchema<Custom> | undefined;
  readonly maxAgents: number;
  readonly sink: RecordSink;
  readonly own: OwnAgents<Custom>;
  readonly owner: RegistrationOwner<Custom>;
  readonly assertRunning: () => void;
  readonly find: (id: AgentId) => AgentRecord | undefined;
  /** A stamp later than all before. */
  readonly stamp: () => number;
  readonly onListenerError: (error: unknown, type: string) => void;
}

const nothingToDo = (): void => undefined;

export class Writes<Custom> {
  readonly #options: WritesOptions<Custom>;

  constructor(options: WritesOptions<Custom>) {
    this.#options = options;
  }

  async accept(operation: BatchOperation<Custom>): Promise<Step<Custom>> {
    switch (operation?.op) {
      case 'register':
        return this.register(operation.id, operation.handler, operation.metadata, () => undefined);
      case 'update':
        return this.update(operation.id, operation.changes);
      case 'unregister':
        return this.unregister(operation.id);
      default:
        throw new QuorateError('INVALID_ARGUMENT', "An operation's `op` must be 'register', 'update' or 'unregister'.");
    }
  }

  /** `strong` is asked when the step is applied. */
  async register(
    id: AgentId,
    handler: AgentHandler,
    metadata: unknown,
    strong: () => StrongClaim | undefined,
  ): Promise<Step<Custom>> {
    const { zone, schema } = this.#options;
    const fields = await acceptRegistration(id, handler, metadata, zone, schema);
    return () => this.#claim(id, handler, fields, strong());
  }

  async update(id: AgentId, changes: unknown): Promise<Step<Custom>> {
    const fields = await acceptChanges(id, changes, this.#options.schema);
    return () => this.#change(id, fields);
  }

  unregister(id: AgentId): Step<Custom> {
    return () => this.#release(id);
  }

  #claim(id: AgentId, handler: AgentHandler, fields: RecordFields, strong: StrongClaim | undefined): Applied<Custom> {
    const { own, sink, self, maxAgents, owner, onListenerError } = this.#options;
    this.#options.assertRunning();
    const holder = this.#options.find(id);
    // What the validators granted stands against any claim of another node that they did not grant, or granted earlier.
    const outranked = strong !== undefined && holder?.node !== self && (holder?.strong?.token ?? 0) < strong.token;
    if (holder !== undefined && !outranked) {
      throw new QuorateError(
        'ALREADY_REGISTERED',
        `Agent '${id}' is registered already, on ${holder.node === self ? 'this node' : `node ${holder.node}`}. Choose another id, or unregister that one first.`,
        { id, node: holder.node },
      );
    }
    if (own.size >= maxAgents) {
      throw new QuorateError(
        'LIMIT_EXCEEDED',
        `Agent '${id}' cannot be registered: this node has ${own.size} agents, the most allowed. Unregister some, use more nodes, or raise registry.maxAgentsPerNode.`,
        { id, limit: maxAgents },
      );
    }
    const record = makeRecord(id, self, fields, this.#options.stamp(), strong);
    const registration = new OwnRegistration(asCustom<Custom>(record), handler, owner, onListenerError);
    own.attach(registration); // Before anybody can see the record and call.
    try {
      sink.write(record);
    } catch (error) {
      own.detach(registration);
      throw error;
    }
    const undo = (): void => {
      sink.erase(id);
      own.detach(registration);
      registration.active = false; // Nobody can have called it: no step of others came between.
    };
    return { registration, undo, commit: nothingToDo };
  }

  #change(id: AgentId, fields: Partial<RecordFields>): Applied<Custom> {
    const { own, sink } = this.#options;
    this.#options.assertRunning();
    const registration = own.require(id);
    const before = registration.record as AgentRecord<unknown> as AgentRecord;
    const names = Object.keys(fields) as (keyof RecordFields)[];
    if (names.every((name) => equalValues(fields[name] as Value, before[name] as Value))) {
      return { registration, undo: nothingToDo, commit: nothingToDo };
    }
    const after = makeRecord(id, before.node, { ...before, ...fields }, before.claimedAt, before.strong);
    const put = (record: AgentRecord): void => {
      sink.write(record);
      registration.record = asCustom<Custom>(record);
    };
    put(after);
    return { registration, undo: () => put(before), commit: nothingToDo };
  }

  #release(id: AgentId): Applied<Custom> {
    const { own, sink } = this.#options;
    this.#options.assertRunning();
    const registration = own.require(id);
    sink.erase(id);
    own.detach(registration);
    const undo = (): void => {
      own.attach(registration);
      sink.write(registration.record as AgentRecord<unknown> as AgentRecord);
    };
    return { undo, commit: () => own.announceGone(registration) };
  }
}

/** The user's schema, where there is one, has made `custom` what its type says; elsewhere the type is the user's word. */
export function asCustom<Custom>(record: AgentRecord): AgentRecord<Custom> {
  return record as AgentRecord<unknown> as AgentRecord<Custom>;
}
