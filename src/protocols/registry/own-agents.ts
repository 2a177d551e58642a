/** The agents of this process: their handlers, which never leave it, and their owners' registrations. */
import type { AgentRecord } from '../../crdt/registry-record.ts';
import { Emitter } from '../../emitter.ts';
import { QuorateError } from '../../errors.ts';
import type { AgentId } from '../../value.ts';
import type { AgentHandler, LocalHandlers } from '../messaging/messaging.ts';
import type { AgentMetadata, LostEvent, Registration } from './registry.ts';

/** What a registration asks of the registry that gave it out. */
export interface RegistrationOwner<Custom> {
  update(registration: OwnRegistration<Custom>, changes: Partial<AgentMetadata<Custom>>): Promise<void>;
  unregister(registration: OwnRegistration<Custom>): Promise<void>;
}

export class OwnRegistration<Custom> implements Registration<Custom> {
  readonly id: AgentId;
  readonly handler: AgentHandler;
  /** Set by the registry. The last record stays readable after the end. */
  record: AgentRecord<Custom>;
  /** Set by the registry. */
  active = true;
  readonly #owner: RegistrationOwner<Custom>;
  readonly #onListenerError: (error: unknown, type: string) => void;
  /** Made when somebody asks: nodes have thousands of registrations, and few of them have listeners. */
  #events: Emitter<{ lost: LostEvent }> | undefined;
  #lost: LostEvent | undefined;

  constructor(
    record: AgentRecord<Custom>,
    handler: AgentHandler,
    owner: RegistrationOwner<Custom>,
    onListenerError: (error: unknown, type: string) => void,
  ) {
    this.id = record.id;
    this.handler = handler;
    this.record = record;
    this.#owner = owner;
    this.#onListenerError = onListenerError;
  }

  update(changes: Partial<AgentMetadata<Custom>>): Promise<void> {
    return this.#owner.update(this, changes);
  }

  unregister(): Promise<void> {
    return this.#owner.unregister(this);
  }

  onLost(listener: (event: LostEvent) => void): () => void {
    if (this.#lost !== undefined) {
      listener(this.#lost);
      return () => undefined;
    }
    this.#events ??= new Emitter(this.#onListenerError);
    return this.#events.on('lost', listener);
  }

  /** Called by the registry, once. */
  lose(event: LostEvent): void {
    this.active = false;
    this.#lost = event;
    this.#events?.emit('lost', event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.active) await this.unregister();
  }
}

export class OwnAgents<Custom> implements LocalHandlers {
  readonly #registrations = new Map<AgentId, OwnRegistration<Custom>>();
  readonly #events: Emitter<{ gone: AgentId }>;

  constructor(onListenerError: (error: unknown, type: string) => void) {
    this.#events = new Emitter(onListenerError);
  }

  get size(): number {
    return this.#registrations.size;
  }

  get(id: AgentId): AgentHandler | undefined {
    return this.#registrations.get(id)?.handler;
  }

  onGone(listener: (id: AgentId) => void): () => void {
    return this.#events.on('gone', listener);
  }

  registration(id: AgentId): OwnRegistration<Custom> | undefined {
    return this.#registrations.get(id);
  }

  /** Throws `NOT_REGISTERED`. */
  require(id: AgentId): OwnRegistration<Custom> {
    const registration = this.#registrations.get(id);
    if (registration !== undefined) return registration;
    throw new QuorateError(
      'NOT_REGISTERED',
      `Agent '${id}' is not registered by this node, or no longer; only the node that registered it can change it.`,
      { id },
    );
  }

  attach(registration: OwnRegistration<Custom>): void {
    this.#registrations.set(registration.id, registration);
  }

  /** Takes the agent out; `announceGone` tells the others, so that an undone removal is never told. */
  detach(registration: OwnRegistration<Custom>): void {
    if (this.#registrations.get(registration.id) === registration) this.#registrations.delete(registration.id);
  }

  announceGone(registration: OwnRegistration<Custom>): void {
    registration.active = false;
    this.#events.emit('gone', registration.id);
  }

  removeAll(): void {
    const registrations = [...this.#registrations.values()];
    this.#registrations.clear();
    for (const registration of registrations) this.announceGone(registration);
  }
}
