/**
 * How well this node itself does (Lifeguard, section 4.1). A process that stood still heard nobody, which
 * says nothing about the others: its score multiplies all its patience, up to eight times, and falls by
 * one a second. What it lost is also confessed to others, who then wait longer for it.
 */
import { type DetectorTimings, maxHealth } from './timings.ts';

/** Each such piece of a stall costs one point. */
const stallPerPointMs = 500;
const recoveryMs = 1_000;
const lagHalfLifeMs = 1_000;

export class LocalHealth {
  readonly #timings: DetectorTimings;
  #score = 0;
  #scoreAt: number;
  #lagMs = 0;
  #lagAt = 0;

  constructor(timings: DetectorTimings, now: number) {
    this.#timings = timings;
    this.#scoreAt = now;
  }

  /** 0 is well. */
  get score(): number {
    return this.#score;
  }

  /**
   * The worst lag lately, halved with every second since. A process that is always late confesses that all the time;
   * one that was stopped once is soon judged like any other, or its next stop would be excused by the last one.
   */
  lagMs(now: number): number {
    return Math.floor(this.#lagMs * 2 ** ((this.#lagAt - now) / lagHalfLifeMs));
  }

  rememberLag(lagMs: number, now: number): void {
    if (lagMs < this.lagMs(now)) return;
    this.#lagMs = lagMs;
    this.#lagAt = now;
  }

  /** True when the time since the last call, which should be a tick at most, shows that the process stood still. */
  noticeStall(previous: number, now: number): boolean {
    const stalledMs = now - previous - this.#timings.tickMs;
    if (stalledMs >= this.#timings.stallMs) {
      this.#score = Math.min(maxHealth, this.#score + Math.ceil(stalledMs / stallPerPointMs));
      this.#scoreAt = now;
      this.rememberLag(stalledMs, now);
      return true;
    }
    const recovered = Math.floor((now - this.#scoreAt) / recoveryMs);
    this.#score = Math.max(0, this.#score - recovered);
    this.#scoreAt += recovered * recoveryMs;
    return false;
  }
}
