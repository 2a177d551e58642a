/**
 * The breaker of one node by itself: opens by its own failures, whoever else has none. It is all there is with scope `node`, and in a wider scope it
 * keeps a node from calling what fails for nobody but it.
 *
 * Closed → open → (after the recovery time) half-open, one probe at a time → closed, or open again for twice as long (Nygard, "Release It!", 2007). Pure.
 */
export interface RecoveryOptions {
  readonly recoveryTimeMs: number;
  readonly maxRecoveryTimeMs: number;
}

/** How long round `round` stays open before a probe. */
export function recoveryMs(round: number, { recoveryTimeMs, maxRecoveryTimeMs }: RecoveryOptions): number {
  return Math.min(recoveryTimeMs * 2 ** Math.min(round, 64), maxRecoveryTimeMs);
}

/** How long after the recovery time nobody may call, before it is as if it had never been open. */
export function forgottenAfterMs(options: RecoveryOptions): number {
  return 2 * Math.max(options.maxRecoveryTimeMs, longestProbeMs(options));
}

/** A probe that has not ended after so long is not waited for any more. */
export function longestProbeMs({ recoveryTimeMs }: RecoveryOptions): number {
  return Math.max(recoveryTimeMs, 10_000);
}

export class NodeBreaker {
  readonly #options: RecoveryOptions;
  #round = 0;
  #recoversAt: number | undefined;
  #probeUntil = Number.NEGATIVE_INFINITY;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#recoversAt !== undefined;
  }

  /** Also after a probe that failed. */
  open(now: number): void {
    this.#round = this.#recoversAt === undefined ? 0 : this.#round + 1;
    this.#recoversAt = now + recoveryMs(this.#round, this.#options);
    this.#probeUntil = Number.NEGATIVE_INFINITY;
  }

  close(): void {
    this.#recoversAt = undefined;
    this.#probeUntil = Number.NEGATIVE_INFINITY;
  }

  isHalfOpen(now: number): boolean {
    return this.#recoversAt !== undefined && now >= this.#recoversAt;
  }

  /** True when this call may pass as the probe; `endProbe` or `open` or `close` ends it. */
  takeProbe(now: number): boolean {
    if (!this.isHalfOpen(now) || now < this.#probeUntil) return false;
    this.#probeUntil = now + longestProbeMs(this.#options);
    return true;
  }

  /** Its outcome says nothing; another call may probe. */
  endProbe(): void {
    this.#probeUntil = Number.NEGATIVE_INFINITY;
  }

  /** Milliseconds until a call may pass again; while a probe is under way that is not known, and a slot is a guess. */
  retryAfterMs(now: number): number {
    if (this.#recoversAt === undefined) return 0;
    return Math.max(0, this.#recoversAt - now, Math.min(this.#probeUntil - now, 500));
  }

  /** When time alone changes it: it becomes half-open, or, as nobody calls, is forgotten. */
  nextAt(now: number): number | undefined {
    if (this.#recoversAt === undefined) return undefined;
    return now < this.#recoversAt ? this.#recoversAt : this.#forgottenAt;
  }

  /** Nobody has called for long. */
  isForgotten(now: number): boolean {
    return now >= this.#forgottenAt;
  }

  get #forgottenAt(): number {
    const from = Math.max(this.#recoversAt ?? Number.POSITIVE_INFINITY, this.#probeUntil);
    return from + forgottenAfterMs(this.#options);
  }
}
