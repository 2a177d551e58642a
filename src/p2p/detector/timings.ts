/** The timings of the failure detector. All in milliseconds unless said. */
export interface DetectorTimings {
  /** Bounds of the time a probe may stay unanswered before the next one is sent. From the design: 250 ms to 5 s. */
  readonly minTimeoutMs: number;
  readonly maxTimeoutMs: number;
  /** Least time between two probes of a silent subject. */
  readonly retryMs: number;
  /**
   * How long nothing may be heard, counted from the sending of the first unanswered probe, before the
   * subject is accused. 3.5 s: a process stopped for 3 s has half a second to answer, and one stopped for
   * good is known to all within 5 s (two observers' first probes come within 0.8 s of the stop).
   */
  readonly silenceMs: number;
  /** Wait between the two re-dials that confirm a reset connection: time for a listener to come back. */
  readonly redialDelayMs: number;
  /** Longest wait between dials or probes of an accused subject. */
  readonly maxBackoffMs: number;
  /** The driver calls `step` at least this often. */
  readonly tickMs: number;
  /** A call later than this counts as a stall of our own event loop. Guess: above any honest garbage collection. */
  readonly stallMs: number;
  /** How long the lag that a peer confessed is remembered. */
  readonly lagMemoryMs: number;
}

export const defaultDetectorTimings: DetectorTimings = {
  minTimeoutMs: 250,
  maxTimeoutMs: 5_000,
  retryMs: 500,
  silenceMs: 3_500,
  redialDelayMs: 100,
  maxBackoffMs: 30_000,
  tickMs: 500,
  stallMs: 400,
  lagMemoryMs: 10_000,
};

/** Highest local health score; all patience is multiplied by 1 + score (Lifeguard, section 4.1: up to 8). */
export const maxHealth = 7;
/** Helpers asked by one round of indirect probes (SWIM's k; memberlist's default). */
export const helperCount = 3;
/** Indirect probes done for others at one time; further ones are refused at once. */
export const maxRelays = 32;
/** A peer's confessed lag extends its deadline by at most this. */
export const maxExcusedLagMs = 10_000;
/** So long the word of a single helper keeps a silent subject from being accused, as a multiple of `silenceMs`. */
export const loneHelperFactor = 10;
/** How often a subject's refutation doubles our patience with it. */
export const maxRefutations = 4;
/** Resets within `flapMemoryMs` after which only silence counts against a subject, not one more reset. */
export const maxFlaps = 3;
export const flapMemoryMs = 60_000;

/** Interval between probes of one observer. Observers of one subject take turns, so it is probed about every 400 ms. */
export function probePeriodMs(observers: number): number {
  return Math.max(800, Math.min(2_000, observers * 400));
}
