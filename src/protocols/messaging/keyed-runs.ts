/**
 * Messages with an idempotency key run once: the first becomes a run of its own, repeats join it while it is
 * under way and get its outcome afterwards. The run outlives its callers: a lost connection does not abort
 * it, because the repeat that follows wants its result. Its deadline is the latest of those who wait.
 */
import type { QuorateError } from '../../errors.ts';
import { type DedupEntry, DedupWindow } from './dedup.ts';
import { Invocation, type InvocationHost } from './invocation.ts';
import type { MessagingLimits } from './limits.ts';
import { rejected } from './outcome.ts';

/** Also starts runs; the dispatcher. */
export interface RunHost extends InvocationHost {
  submit(invocation: Invocation, direct: boolean): void;
}

export type KeptOutcome = { readonly value: unknown } | { readonly error: QuorateError };

/** Assumed size of a remembered outcome besides its reply. */
const entryBytes = 256;

export class KeyedRuns {
  readonly #window: DedupWindow<KeyedRun, KeptOutcome>;
  readonly #dispatcher: RunHost;

  constructor(dispatcher: RunHost, limits: MessagingLimits) {
    this.#dispatcher = dispatcher;
    this.#window = new DedupWindow({
      keepMs: limits.dedupMs,
      entries: limits.dedupEntries,
      entriesPerCaller: limits.dedupEntriesPerCaller,
      bytes: limits.dedupBytes,
    });
  }

  /** True when the message is taken care of; false for a run itself, which goes the ordinary way. */
  take(invocation: Invocation, direct: boolean): boolean {
    if (invocation instanceof KeyedRun) return false;
    const caller = invocation.callerNode;
    const key = `${invocation.agent}\n${invocation.idempotencyKey}`;
    const known = this.#window.find(caller, key, this.#dispatcher.now());
    if (known.kind === 'settled') {
      if ('value' in known.outcome) invocation.reply(known.outcome.value);
      else invocation.fail(known.outcome.error);
      return true;
    }
    if (known.kind === 'running') {
      known.run.join(invocation);
      return true;
    }
    const run = new KeyedRun(this.#dispatcher, invocation);
    const entry = this.#window.begin(caller, key, run);
    if (entry === undefined) {
      invocation.fail(rejected(invocation.agent, 'overloaded', { detail: 'too many idempotency keys under way' }));
      return true;
    }
    run.bind(this.#window, entry);
    run.join(invocation);
    this.#dispatcher.submit(run, direct);
    return true;
  }
}

export class KeyedRun extends Invocation {
  readonly #waiters = new Set<Invocation>();
  #window: DedupWindow<KeyedRun, KeptOutcome> | undefined;
  #entry: DedupEntry<KeyedRun, KeptOutcome> | undefined;
  #bytes = entryBytes;

  constructor(dispatcher: InvocationHost, first: Invocation) {
    super(dispatcher, first.agent, first.message, first.deadlineAt, first);
    this.nested = first.nested;
  }

  bind(window: DedupWindow<KeyedRun, KeptOutcome>, entry: DedupEntry<KeyedRun, KeptOutcome>): void {
    this.#window = window;
    this.#entry = entry;
  }

  /** Who joins waits for the answer under its own deadline. */
  join(waiter: Invocation): void {
    this.#waiters.add(waiter);
    waiter.joined = this;
    waiter.phase = 'running';
    this.dispatcher.armDeadline(waiter);
    if (waiter.deadlineAt <= this.deadlineAt) return;
    this.deadlineAt = waiter.deadlineAt;
    if (this.deadlineSlot >= 0) this.dispatcher.armDeadline(this);
  }

  /** A caller stopped waiting. When the last one cancelled on purpose, the run is aborted. */
  leave(waiter: Invocation, error: QuorateError): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size === 0 && error.data['reason'] === 'cancelled') this.giveUp('cancelled');
  }

  override handlerEnded(outcome: KeptOutcome): void {
    if (this.#entry !== undefined) this.#window?.settle(this.#entry, outcome, this.#bytes, this.dispatcher.now());
  }

  protected override sendReply(value: unknown): void {
    for (const waiter of this.#waiters) {
      waiter.reply(value);
      this.#bytes = Math.max(this.#bytes, entryBytes + waiter.replyBytes);
    }
    this.#waiters.clear();
  }

  protected override sendFailure(error: QuorateError): void {
    // A run that never began leaves nothing to remember: the next with this key is a first try.
    if (this.phase !== 'running' && this.#entry !== undefined) this.#window?.abandon(this.#entry);
    for (const waiter of this.#waiters) waiter.fail(error);
    this.#waiters.clear();
  }
}
