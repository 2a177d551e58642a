/**
 * Time and randomness enter the library only through these two interfaces, so that the same code runs on
 * real time and on a simulator's virtual time. Only `realClock` and `realRng` touch the real ones.
 */
import { randomBytes } from 'node:crypto';

/** A pending timer; `cancel` after it fired does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that never goes back; only differences mean something. */
  now(): number;
  /** Milliseconds since 1970, as this machine believes; may jump either way. */
  wallNow(): number;
  /** Runs `fire` once, `delayMs` or more from now. Never keeps the process alive by itself. */
  after(delayMs: number, fire: () => void): Timer;
}

export interface Rng {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform whole number in [0, bound). */
  below(bound: number): number;
  /** `length` random bytes. */
  bytes(length: number): Uint8Array;
}

export const realClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs, fire) {
    // What was due while the process stood still has a negative delay; Node warns of those.
    const timer = setTimeout(fire, Math.max(0, delayMs));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

export const realRng: Rng = {
  float: () => Math.random(),
  below: (bound) => Math.floor(Math.random() * bound),
  bytes: (length) => new Uint8Array(randomBytes(length)),
};

/** A seeded generator (sfc32) for simulations and property tests: equal seeds give equal runs. */
export function seededRng(seed: number): Rng {
  let a = seed >>> 0;
  let b = 0x9e3779b9;
  let c = 0x243f6a88;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) >>> 0) + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = ((c << 21) | (c >>> 11)) >>> 0;
    c = (c + t) >>> 0;
    return t;
  };
  for (let round = 0; round < 12; round++) next();
  const float = (): number => next() / 0x1_0000_0000;
  return {
    float,
    below: (bound) => Math.floor(float() * bound),
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
  };
}
