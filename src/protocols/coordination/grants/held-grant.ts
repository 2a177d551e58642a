/**
 * A grant in the hands of its holder: renews its lease, and stops being held before the lease can be given to others.
 *
 * Invariants: `held` never turns true again; it is false once the lease is over by this process's clocks, even if no timer has fired since;
 * `signal` aborts exactly once.
 */
import type { Timer } from '../../../clock.ts';
import { isQuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { CoordinationTools } from '../tools.ts';
import { grantLost, isLossReason, type LossReason } from './grant-errors.ts';
import type { Leadership, Permit } from './grants.ts';
import { isOver, type Lease, leaseFromNow } from './lease.ts';
import { mayPass, pause, pauseMs } from './pause.ts';

export interface GrantParts {
  readonly tools: CoordinationTools;
  readonly name: string;
  readonly id: string;
  readonly token: number;
  readonly count: number;
  readonly value: Value;
  readonly leaseMs: number;
  /** Counted from before the command that granted or confirmed it was sent. */
  readonly lease: Lease;
  /** Called once, when it is held no more. */
  readonly onEnd: (grant: HeldGrant) => void;
}

export class HeldGrant implements Permit, Leadership {
  readonly name: string;
  readonly token: number;
  readonly count: number;
  readonly value: Value;
  readonly #parts: GrantParts;
  readonly #ended = new AbortController();
  #lease: Lease;
  #ending: Timer | undefined;
  #renewing: Timer | undefined;
  #failedRenewals = 0;
  #release: Promise<void> | undefined;

  constructor(parts: GrantParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.token = parts.token;
    this.count = parts.count;
    this.value = parts.value;
    this.#lease = parts.lease;
    this.#renewed(parts.lease);
  }

  get held(): boolean {
    if (!this.#ended.signal.aborted && isOver(this.#lease, this.#parts.tools.clock)) this.#lose('lease-ended');
    return !this.#ended.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  assertHeld(): void {
    if (!this.held) throw this.#ended.signal.reason;
  }

  release(): Promise<void> {
    if (this.#release === undefined) {
      const wasHeld = this.held;
      if (wasHeld) this.#end('released');
      this.#release ??= wasHeld ? this.#giveBack() : Promise.resolve();
    }
    return this.#release;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #renewed(lease: Lease): void {
    const { clock } = this.#parts.tools;
    this.#lease = lease;
    this.#failedRenewals = 0;
    this.#ending?.cancel();
    // Timers are only for those who do not look: `held` asks the clock itself. One that fires early finds it held, and waits again.
    const onEnding = (): void => {
      if (this.held) this.#ending = clock.after(Math.max(1, this.#lease.endsAt - clock.now()), onEnding);
    };
    this.#ending = clock.after(Math.max(0, lease.endsAt - clock.now()), onEnding);
    this.#renewIn(this.#parts.leaseMs / 3);
  }

  #renewIn(ms: number): void {
    this.#renewing?.cancel();
    this.#renewing = this.#parts.tools.clock.after(ms, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    if (!this.held) return;
    const { tools, id, token, leaseMs } = this.#parts;
    const lease = leaseFromNow(tools.clock, leaseMs);
    try {
      const options = { signal: this.signal, timeoutMs: leaseMs / 3 };
      const answer = await tools.client.submit({ kind: 'grant.renew', id, token }, options);
      if (this.#ended.signal.aborted) return;
      if (answer.ok) this.#renewed(lease);
      else this.#lose(isLossReason(answer.data['reason']) ? answer.data['reason'] : 'unknown');
    } catch (error) {
      if (this.#ended.signal.aborted) return; // Released or lost meanwhile, which also ended the submission.
      if (isQuorateError(error, 'STOPPED')) return this.#lose('stopped');
      if (!mayPass(error)) tools.onError(error, `renewing '${this.name}'`);
      this.#renewIn(Math.min(pauseMs(this.#failedRenewals++), leaseMs / 10));
    }
  }

  #lose(reason: LossReason): void {
    this.#end(reason);
    // The log may believe in it a little longer: whoever waits need not.
    this.#release = Promise.resolve();
    if (reason === 'lease-ended') void this.#giveBack();
  }

  #end(reason: LossReason): void {
    this.#ending?.cancel();
    this.#renewing?.cancel();
    this.#ended.abort(grantLost(this.name, this.token, reason));
    this.#parts.onEnd(this);
  }

  /** Until it is known that the log has heard it, or the lease of the last renewal has run out. */
  async #giveBack(): Promise<void> {
    const { tools, id, token, leaseMs } = this.#parts;
    // A renewal whose outcome nobody knows may have been ordered just now; none is sent from here on.
    const runsOutAt = tools.clock.now() + leaseMs * 1.1;
    for (let attempt = 0; ; attempt++) {
      const leftMs = runsOutAt - tools.clock.now();
      if (leftMs <= 0) return;
      try {
        await tools.client.submit(
          { kind: 'grant.release', id, token },
          { timeoutMs: Math.min(leftMs, tools.timeoutMs) },
        );
        return; // Done, or refused because it is over already.
      } catch (error) {
        if (isQuorateError(error, 'STOPPED')) return; // Nobody is left here to tell; the lease ends.
        if (!mayPass(error)) tools.onError(error, `releasing '${this.name}'`);
        await pause(tools.clock, Math.min(pauseMs(attempt), leftMs), undefined);
      }
    }
  }
}
