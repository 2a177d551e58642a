/** Locks, semaphores and elections over the ordered state: the same code alone and under validators. */
import { decodeValue, encodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';
import type { CoordinationTools } from '../tools.ts';
import { Acquisition, type Wanted } from './acquisition.ts';
import { checkArguments, checkLeaderValue } from './arguments.ts';
import { inspection } from './commands.ts';
import { OrderedElection } from './election.ts';
import { refusalError, understood } from './grant-errors.ts';
import type {
  CampaignOptions,
  Election,
  GrantInspection,
  GrantOptions,
  Grants,
  Leadership,
  Lock,
  LockOptions,
  Permit,
  SemaphoreOptions,
} from './grants.ts';
import { HeldGrant } from './held-grant.ts';

const defaultLeaseMs = 10_000;

export class OrderedGrants implements Grants {
  readonly #tools: CoordinationTools;
  readonly #held = new Set<HeldGrant>();
  readonly #stopping = new AbortController();

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    checkArguments(name, { ...options });
    return this.#acquire(options, {
      ...{ name, sort: 'lock', permits: 1, count: 1, value: undefined },
      timeoutMs: options.timeoutMs ?? this.#tools.timeoutMs,
      wait: options.wait ?? true,
    });
  }

  async semaphore(name: string, options: SemaphoreOptions): Promise<Permit> {
    checkArguments(name, { ...options }, true);
    const { permits, count = 1 } = options;
    return this.#acquire(options, {
      ...{ name, sort: 'semaphore', permits, count, value: undefined },
      timeoutMs: options.timeoutMs ?? this.#tools.timeoutMs,
      wait: options.wait ?? true,
    });
  }

  election(name: string): Election {
    checkArguments(name, {});
    return new OrderedElection(this.#tools, name, {
      stopping: this.#stopping.signal,
      campaign: (options) => this.#campaign(name, options),
    });
  }

  async inspect(
    name: string,
    options: OrderingOptions & { readonly consistency?: ReadConsistency } = {},
  ): Promise<GrantInspection | undefined> {
    checkArguments(name, {});
    const answer = await this.#tools.client.query({ kind: 'grant.inspect', name }, options);
    if (!answer.ok) throw refusalError(name, answer);
    if (answer.value === undefined) return undefined;
    return understood(inspection, answer.value);
  }

  /**
   * Ends every wait with `STOPPED` and gives back what is held, so that others need not wait for leases. Takes `withinMs` at
   * most: what is not given back by then ends by its lease. Idempotent.
   */
  async stop(withinMs = 1_000): Promise<void> {
    this.#stopping.abort(new QuorateError('STOPPED', 'This mesh has stopped; create another.'));
    const { clock } = this.#tools;
    const late = Promise.withResolvers<void>();
    const timer = clock.after(withinMs, late.resolve);
    await Promise.race([Promise.all([...this.#held].map((grant) => grant.release())), late.promise]);
    timer.cancel();
  }

  async #campaign(name: string, options: CampaignOptions = {}): Promise<Leadership> {
    checkArguments(name, { ...options, value: undefined });
    const encoded = encodeValue(options.value);
    checkLeaderValue(encoded);
    const decoded = decodeValue(encoded);
    // What others will read, rather than the object that was given and may change.
    const value = decoded.ok ? decoded.value : undefined;
    const wanted = { name, sort: 'election', permits: 1, count: 1, value: encoded } as const;
    return this.#acquire(options, { ...wanted, timeoutMs: options.timeoutMs, wait: true }, value);
  }

  async #acquire(
    { leaseMs = defaultLeaseMs, signal }: GrantOptions,
    wanted: Omit<Wanted, 'signal' | 'leaseMs'>,
    value?: Value,
  ): Promise<HeldGrant> {
    const stopping = this.#stopping.signal;
    const either = signal === undefined ? stopping : AbortSignal.any([signal, stopping]);
    either.throwIfAborted();
    const acquired = await new Acquisition(this.#tools, { ...wanted, leaseMs, signal: either }).run();
    const grant = new HeldGrant({
      ...acquired,
      ...{ tools: this.#tools, name: wanted.name, count: wanted.count, value, leaseMs },
      onEnd: (ended) => void this.#held.delete(ended),
    });
    this.#held.add(grant);
    if (either.aborted) {
      // The signal came with the answer: who gave up must not find that it holds something.
      await grant.release();
      throw either.reason;
    }
    return grant;
  }
}
