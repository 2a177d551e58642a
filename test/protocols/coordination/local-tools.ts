/**
 * What handles are made with, over one machine in this process: for one node (`LocalOrdering`), or for several that share the order
 * and whose connections fail when a test says so. Time stands still until a test moves it.
 */
import { createHash } from 'node:crypto';
import { type Clock, seededRng, type Timer } from '../../../src/clock.ts';
import { type ErrorCode, QuorateError } from '../../../src/errors.ts';
import { createIdentity, type Identity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { statementBytes } from '../../../src/protocols/coordination/certificates/statement.ts';
import { LocalOrdering } from '../../../src/protocols/coordination/local-ordering.ts';
import { CoordinationMachine, tickCommand } from '../../../src/protocols/coordination/machine/machine.ts';
import { MachineClient } from '../../../src/protocols/coordination/machine/machine-client.ts';
import type { AnyReducer } from '../../../src/protocols/coordination/machine/reducer.ts';
import type { Ordering } from '../../../src/protocols/coordination/ordering.ts';
import { Subscriptions } from '../../../src/protocols/coordination/subscriptions.ts';
import type { CoordinationTools } from '../../../src/protocols/coordination/tools.ts';

export class ManualClock implements Clock {
  #now = 5_000;
  #wall = 1_700_000_000_000;
  #timers: { readonly at: number; readonly fire: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return this.#wall;
  }

  after(delayMs: number, fire: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, delayMs), fire };
    this.#timers.push(timer);
    const cancel = (): void => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
    return { cancel };
  }

  /** Time passes while this process stands still: timers that are due fire only with the next `advance`. */
  sleep(ms: number): void {
    this.#now += ms;
    this.#wall += ms;
  }

  /** Time passes, and what is due happens. Lets promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.sleep(Math.max(0, next.at - this.#now));
      next.fire();
    }
    this.sleep(end - this.#now);
  }

  /** Someone sets the wall clock. */
  jumpWall(ms: number): void {
    this.#wall += ms;
  }

  get timers(): number {
    return this.#timers.length;
  }
}

/** Lets everything run that waits for no timer. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const rethrow = (error: unknown): never => {
  throw error;
};

/** Two lives of one node draw different numbers. */
let seeds = 0;

export function toolsOver(ordering: Ordering, identity: Identity, clock: Clock, zone = 'test'): CoordinationTools {
  return {
    self: identity.id,
    zone,
    client: new MachineClient(ordering),
    clock,
    rng: seededRng(++seeds),
    timeoutMs: 5_000,
    locate: () => undefined,
    sign: (bytes) => identity.sign(bytes),
    onError: rethrow,
  };
}

export interface LocalNode {
  readonly tools: CoordinationTools;
  readonly ordering: LocalOrdering;
  readonly machine: CoordinationMachine;
  readonly clock: ManualClock;
}

/** One node by itself. */
export function localNode(reducers: readonly AnyReducer[], clock = new ManualClock()): LocalNode {
  const identity = createIdentity();
  const machine = new CoordinationMachine(reducers);
  const ordering = new LocalOrdering({ identity, machine, clock, onListenerError: rethrow });
  return { tools: toolsOver(ordering, identity, clock), ordering, machine, clock };
}

/** How the next submit goes wrong. `before`: it has not run. `after`: it has run and nobody hears. `later`: it runs at `runLate`. */
export type Fault = 'before' | 'after' | 'later';

/** Several nodes that share one machine. */
export class SharedOrder {
  readonly clock: ManualClock;
  readonly machine: CoordinationMachine;
  readonly #subscriptions = new Map<NodeId, Subscriptions>();
  readonly #faults = new Map<NodeId, Fault[]>();
  readonly #deaf = new Set<NodeId>();
  #late: (() => void)[] = [];
  #seq = 0;
  #time = 0;

  constructor(reducers: readonly AnyReducer[], clock = new ManualClock()) {
    this.clock = clock;
    this.machine = new CoordinationMachine(reducers);
  }

  node(identity: Identity = createIdentity()): CoordinationTools {
    const subscriptions = new Subscriptions(rethrow);
    this.#subscriptions.set(identity.id, subscriptions);
    const ordering: Ordering = {
      self: identity.id,
      submit: async (command) => {
        await undefined;
        const fault = this.#faults.get(identity.id)?.shift();
        if (fault === 'before') throw failure('NO_QUORUM');
        if (fault === 'later') this.#late.push(() => void this.apply(command, identity.id));
        if (fault === 'after') this.apply(command, identity.id);
        if (fault !== undefined) throw failure('UNKNOWN_OUTCOME');
        return this.apply(command, identity.id);
      },
      query: async (query) => {
        await undefined;
        if (this.#faults.get(identity.id)?.[0] === 'before') throw failure('NO_QUORUM');
        return this.machine.query(query);
      },
      subscribe: (topic, subscriber) => subscriptions.add(topic, subscriber),
      certify: async (query) => {
        const statement = this.machine.settled(query);
        if (statement === undefined) throw failure('NOT_SETTLED');
        const group = new Uint8Array(createHash('sha256').update('test').digest());
        const signature = identity.sign(statementBytes(group, 0, query, statement));
        const signatures = [{ validator: identity.id, signature }];
        return { group, epoch: 0, query, statement, signatures, succession: [] };
      },
    };
    return toolsOver(ordering, identity, this.clock);
  }

  apply(command: Uint8Array, client: NodeId): Uint8Array {
    this.#time = Math.max(this.#time, this.clock.wallNow());
    this.#seq += 1;
    const validators = [...this.#subscriptions.keys()].slice(0, 1);
    const answer = this.machine.apply(command, { seq: this.#seq, time: this.#time, client, validators });
    for (const event of this.machine.takeEvents()) {
      for (const [node, subscriptions] of this.#subscriptions) {
        if (!this.#deaf.has(node)) subscriptions.deliver(event.topic, event.payload);
      }
    }
    return answer;
  }

  /** What validators do when a deadline is due. */
  tick(): void {
    const [node] = this.#subscriptions.keys();
    this.apply(tickCommand, node as NodeId);
  }

  /** The next submits of this node fail so. */
  fail(node: NodeId, ...faults: Fault[]): void {
    this.#faults.set(node, [...(this.#faults.get(node) ?? []), ...faults]);
  }

  heal(node: NodeId): void {
    this.#faults.delete(node);
  }

  /** Runs what was given the fault `later`. */
  runLate(): void {
    for (const run of this.#late.splice(0)) run();
  }

  /** This node hears no events, and does not know. */
  deafen(node: NodeId): void {
    this.#deaf.add(node);
  }

  /** It hears again; knowing that it missed something only when told so. */
  undeafen(node: NodeId, { gap }: { readonly gap: boolean }): void {
    this.#deaf.delete(node);
    if (gap) this.#subscriptions.get(node)?.gap();
  }
}

const failure = (code: ErrorCode): QuorateError => new QuorateError(code, `${code}, as the test asked.`);
