/** Order in one process: that of arrival. The same machine as under validators, with nobody to ask. */
import type { Clock, Timer } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { Identity } from '../../identity.ts';
import type { NodeId } from '../../node-id.ts';
import type { Certificate } from './certificates/certificate.ts';
import { localGroupId } from './certificates/local-group.ts';
import { statementBytes } from './certificates/statement.ts';
import { type CoordinationMachine, type MachineEvent, tickCommand } from './machine/machine.ts';
import type { Ordering, OrderingOptions, Subscriber } from './ordering.ts';
import { Subscriptions } from './subscriptions.ts';

export class LocalOrdering implements Ordering {
  readonly #identity: Identity;
  readonly #machine: CoordinationMachine;
  readonly #clock: Clock;
  readonly #subscriptions: Subscriptions;
  readonly #group: Uint8Array;
  readonly #validators: readonly NodeId[];
  readonly #events: MachineEvent[] = [];
  #delivering = false;
  #seq = 0;
  #time = 0;
  #timer: Timer | undefined;
  #dueAt: number | undefined;
  #stopped = false;

  constructor(parts: {
    readonly identity: Identity;
    readonly machine: CoordinationMachine;
    readonly clock: Clock;
    readonly onListenerError: (error: unknown, where: string) => void;
  }) {
    this.#identity = parts.identity;
    this.#validators = [parts.identity.id];
    this.#machine = parts.machine;
    this.#clock = parts.clock;
    this.#subscriptions = new Subscriptions(parts.onListenerError);
    this.#group = localGroupId(parts.identity.id);
  }

  get self(): NodeId {
    return this.#identity.id;
  }

  async submit(command: Uint8Array, options: OrderingOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    this.#requireRunning();
    return this.#apply(command);
  }

  async query(query: Uint8Array, options: OrderingOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    this.#requireRunning();
    return this.#machine.query(query);
  }

  subscribe(topic: string, subscriber: Subscriber): () => void {
    return this.#subscriptions.add(topic, subscriber);
  }

  async certify(query: Uint8Array, options: OrderingOptions = {}): Promise<Certificate> {
    options.signal?.throwIfAborted();
    this.#requireRunning();
    const statement = this.#machine.settled(query);
    if (statement === undefined) {
      throw new QuorateError('NOT_SETTLED', 'There is nothing to certify yet: the result is open, or unknown.');
    }
    const signature = this.#identity.sign(statementBytes(this.#group, 0, query, statement));
    const signatures = [{ validator: this.self, signature }];
    return { group: this.#group, epoch: 0, query, statement, signatures, succession: [] };
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#subscriptions.clear();
  }

  #requireRunning(): void {
    if (this.#stopped) throw new QuorateError('STOPPED', 'This mesh has stopped; create another.');
  }

  #apply(command: Uint8Array): Uint8Array {
    this.#time = Math.max(this.#time, Math.floor(this.#clock.wallNow()));
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.#time, client: this.self, validators: this.#validators };
    const result = this.#machine.apply(command, context);
    this.#events.push(...this.#machine.takeEvents());
    this.#deliver();
    this.#wakeForDeadline();
    return result;
  }

  /** A subscriber may submit a command at once; what that brings about comes after what is being told now. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      this.#subscriptions.deliver(event.topic, event.payload);
    }
    this.#delivering = false;
  }

  #wakeForDeadline(): void {
    const due = this.#machine.nextDeadline();
    if (due === this.#dueAt) return;
    this.#dueAt = due;
    this.#timer?.cancel();
    if (due === undefined || this.#stopped) return;
    this.#timer = this.#clock.after(Math.max(0, due - this.#clock.wallNow()), () => {
      this.#dueAt = undefined;
      this.#apply(tickCommand);
    });
  }
}
