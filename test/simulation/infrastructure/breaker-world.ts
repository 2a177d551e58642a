/** Breakers of many nodes in virtual time, and an agent that works, fails, or fails for some. */
import type { NodeId } from '../../../src/node-id.ts';
import type {
  BreakerChange,
  BreakerOptions,
  CircuitBreaker,
} from '../../../src/protocols/infrastructure/breaker/breaker.ts';
import { Breakers } from '../../../src/protocols/infrastructure/breaker/breakers.ts';
import { unknownOutcome } from '../../../src/protocols/messaging/outcome.ts';
import { type SharedNode, SharedWorld, type SharedWorldOptions } from '../sharing/shared-world.ts';

export const agent = 'inference';

export interface Caller {
  readonly node: SharedNode;
  readonly breakers: Breakers;
  readonly breaker: CircuitBreaker;
  readonly changes: (BreakerChange & { readonly at: number })[];
}

export interface CallsMade {
  passed: number;
  refused: number;
}

export class BreakerWorld {
  readonly shared: SharedWorld;
  readonly callers: Caller[] = [];
  readonly options: Partial<BreakerOptions>;
  readonly liars: number;
  /** Whether a call that starts now fails at that node. */
  fails: (caller: Caller) => boolean = () => false;
  /** How long a call takes. */
  callMs = 10;
  /** Which node the agent is on. */
  agentNode: NodeId | undefined;
  /** Probes under way now, and the most there were at a time. */
  probing = 0;
  mostProbing = 0;

  constructor(world: SharedWorldOptions, options: Partial<BreakerOptions> = {}, liars = 1) {
    this.shared = new SharedWorld(world);
    this.options = options;
    this.liars = liars;
  }

  get now(): number {
    return this.shared.time.now;
  }

  /** `skewMs`: how far its wall clock is ahead. */
  join(zone = 'default', skewMs = 0): Caller {
    const node = this.shared.join(zone);
    const changes: Caller['changes'] = [];
    const breakers = new Breakers(
      {
        entries: node,
        zone,
        clock: { ...node.clock, wallNow: () => node.clock.wallNow() + skewMs },
        rng: node.rng,
        liars: this.liars,
        registry: {
          lookup: () => (this.agentNode === undefined ? undefined : ({ id: agent, node: this.agentNode } as never)),
          query: () => [],
        },
        messaging: { call: () => Promise.reject(new Error('no calls here')) },
        onError: (error) => {
          throw error;
        },
      },
      (change) => changes.push({ ...change, at: this.now }),
    );
    const breaker = breakers.circuitBreaker({ agent, ...this.options });
    const caller = { node, breakers, breaker, changes };
    this.callers.push(caller);
    return caller;
  }

  /** One call; true when it was let through. */
  call(caller: Caller): boolean {
    const { node, breakers, breaker } = caller;
    const wasClosed = breaker.state() === 'closed';
    let end: ((error: unknown) => void) | undefined;
    try {
      const deadlineAt = node.clock.now() + 5_000;
      end = breakers.admit({ agent, method: '', deadlineAt, signal: undefined });
    } catch (_refused) {
      return false;
    }
    if (!wasClosed) {
      this.probing += 1;
      this.mostProbing = Math.max(this.mostProbing, this.probing);
    }
    const fails = this.fails(caller);
    this.shared.time.clock.after(this.callMs, () => {
      if (!wasClosed) this.probing -= 1;
      if (node.alive) end?.(fails ? unknownOutcome(agent, 'deadline') : undefined);
    });
    return true;
  }

  /** Calls from then on, about every `everyMs`, until `untilMs` of virtual time. */
  callOften(caller: Caller, everyMs: number, untilMs: number): CallsMade {
    const calls: CallsMade = { passed: 0, refused: 0 };
    const next = (): void => {
      if (this.now >= untilMs || !caller.node.alive) return;
      if (this.call(caller)) calls.passed += 1;
      else calls.refused += 1;
      this.shared.time.clock.after(everyMs * (0.5 + this.shared.time.rng.float()), next);
    };
    this.shared.time.clock.after(everyMs * this.shared.time.rng.float(), next);
    return calls;
  }

  states(): string[] {
    return this.callers.filter(({ node }) => node.alive).map(({ breaker }) => breaker.state());
  }

  run(ms: number): Promise<void> {
    return this.shared.time.run(ms);
  }
}
