/**
 * Retries as a share of calls: each call adds a fraction of a token, each retry takes a whole one. When a
 * service fails for everybody, retrying multiplies its load by 1 + ratio at most, not by 1 + retries
 * (Google SRE book, chapter 21; Finagle's RetryBudget). Pure.
 */
export class RetryBudget {
  readonly #ratio: number;
  readonly #most: number;
  #tokens: number;

  constructor(ratio: number, burst: number) {
    this.#ratio = ratio;
    this.#most = burst;
    this.#tokens = burst;
  }

  get tokens(): number {
    return this.#tokens;
  }

  onCall(): void {
    if (this.#tokens < this.#most) this.#tokens = Math.min(this.#most, this.#tokens + this.#ratio);
  }

  /** True when one retry may be made now; it is then paid for. */
  take(): boolean {
    // Ten tenths are a little less than one in binary; the slack gives back what rounding took.
    if (this.#tokens < 1 - 1e-9) return false;
    this.#tokens = Math.max(0, this.#tokens - 1);
    return true;
  }
}
