/** What a detector knows of one node it watches, and the arithmetic of its patience. */
import type { NodeId } from '../../node-id.ts';
import { type DetectorTimings, flapMemoryMs, maxExcusedLagMs, maxRefutations } from './timings.ts';

/** A node to watch, as the driver says it. */
export interface Subject {
  readonly id: NodeId;
  /** Other observers of it, who can be asked to probe it. */
  readonly helpers: readonly NodeId[];
  /** Probes go out when the clock, modulo `periodMs`, is `phaseMs`: observers of one subject take turns. */
  readonly periodMs: number;
  readonly phaseMs: number;
}

export type WatchStatus = 'ok' | 'suspect' | 'accused';

export interface Watch {
  subject: Subject;
  status: WatchStatus;
  /** An accusation was given out and not taken back, whatever the status is now. */
  standing: boolean;
  linked: boolean;
  /** A dial is under way; its outcome will be an input. */
  dialling: boolean;
  /** Linked once since it last proved to be another process: only then a refused dial means that it ended. */
  everLinked: boolean;
  /** When the next probe or dial is due. While a probe is unanswered that is when it counts as missed. */
  nextAt: number;
  awaiting: boolean;
  /** When the first of the unanswered probes or dials was sent. */
  silentSince: number | undefined;
  misses: number;
  refusals: number;
  helpersDialled: boolean;
  helpersFailed: number;
  /** Rounds of indirect probes so far, and the time of the last. */
  rounds: number;
  askedAt: number;
  affirmers: Set<NodeId>;
  affirmedAt: number;
  /** Smoothed round-trip time and its variation (RFC 6298), ms. */
  rttMs: number | undefined;
  rttVarMs: number;
  lagMs: number;
  lagAt: number;
  refutations: number;
  flaps: number;
  flapAt: number;
  backoffMs: number;
}

export function newWatch(subject: Subject, linked: boolean, now: number): Watch {
  return {
    subject,
    status: 'ok',
    standing: false,
    linked,
    dialling: false,
    everLinked: linked,
    nextAt: linked ? nextTurn(subject, now) : now,
    awaiting: false,
    silentSince: undefined,
    misses: 0,
    refusals: 0,
    helpersDialled: false,
    helpersFailed: 0,
    rounds: 0,
    askedAt: Number.NEGATIVE_INFINITY,
    affirmers: new Set(),
    affirmedAt: Number.NEGATIVE_INFINITY,
    rttMs: undefined,
    rttVarMs: 0,
    lagMs: 0,
    lagAt: Number.NEGATIVE_INFINITY,
    refutations: 0,
    flaps: 0,
    flapAt: Number.NEGATIVE_INFINITY,
    backoffMs: 0,
  };
}

/** This observer's next turn to probe, not sooner than a quarter period from now. */
export function nextTurn(subject: Subject, now: number): number {
  const { periodMs, phaseMs } = subject;
  const from = now + periodMs / 4;
  return from + ((((phaseMs - from) % periodMs) + periodMs) % periodMs);
}

/** Forgets the silence: the subject was heard, or we have no right to count it. */
export function clearSilence(watch: Watch): void {
  watch.awaiting = false;
  watch.silentSince = undefined;
  watch.misses = 0;
  watch.refusals = 0;
  watch.helpersDialled = false;
  watch.helpersFailed = 0;
  watch.rounds = 0;
  watch.askedAt = Number.NEGATIVE_INFINITY;
  watch.affirmers.clear();
  watch.affirmedAt = Number.NEGATIVE_INFINITY;
  watch.backoffMs = 0;
}

export function observeRtt(watch: Watch, sampleMs: number): void {
  if (watch.rttMs === undefined) {
    watch.rttMs = sampleMs;
    watch.rttVarMs = sampleMs / 2;
    return;
  }
  watch.rttVarMs = 0.75 * watch.rttVarMs + 0.25 * Math.abs(watch.rttMs - sampleMs);
  watch.rttMs = 0.875 * watch.rttMs + 0.125 * sampleMs;
}

/** The lag the subject confessed lately, beyond what everybody is allowed. */
function excusedLagMs(watch: Watch, timings: DetectorTimings, now: number): number {
  if (now - watch.lagAt > timings.lagMemoryMs) return 0;
  return Math.min(maxExcusedLagMs, Math.max(0, watch.lagMs - timings.stallMs));
}

/** How long an answer may take when all is well, learned from those before (RFC 6298). */
export function usualTimeoutMs(watch: Watch, timings: DetectorTimings): number {
  const adaptive = watch.rttMs === undefined ? timings.minTimeoutMs : watch.rttMs + 4 * watch.rttVarMs;
  return Math.max(timings.minTimeoutMs, adaptive);
}

/** How long one probe may stay unanswered. */
export function probeTimeoutMs(watch: Watch, timings: DetectorTimings, health: number, now: number): number {
  const patient = usualTimeoutMs(watch, timings) * (1 + health) + excusedLagMs(watch, timings, now);
  return Math.min(timings.maxTimeoutMs, patient);
}

/** How long the silence may last before it is an accusation. */
export function silenceLimitMs(watch: Watch, timings: DetectorTimings, health: number, now: number): number {
  // Who never answered yet may still be busy with the start of its link; that takes longer than any answer later.
  const unproven = watch.linked && watch.rttMs === undefined ? 2 : 1;
  const patience = unproven * (1 + health) * 2 ** Math.min(watch.refutations, maxRefutations);
  return timings.silenceMs * patience + excusedLagMs(watch, timings, now);
}

/** Counts a return from an accusation by reset; old ones are forgotten. */
export function countFlap(watch: Watch, now: number): void {
  watch.flaps = now - watch.flapAt > flapMemoryMs ? 1 : watch.flaps + 1;
  watch.flapAt = now;
}
