/**
 * What a node says of one agent under `breaker/<id>/<agent>`, and how that of others is read: hostile until parsed, and bounded by being made of
 * few numbers. Times are wall-clock milliseconds, since nodes share no other.
 */
import type { Value } from '../../../value.ts';

export interface Report {
  /** How many closings this node knows of; says which opening everything else here is about. */
  readonly generation: number;
  /** Its vote: failures, and successes beside them, both capped (tally.ts). `sequence` rises with each change of it. */
  readonly failures: number;
  readonly successes: number;
  readonly sequence: number;
  /** It holds the breaker for open in the whole scope: which round (failed probes so far), and since when. */
  readonly open: { readonly round: number; readonly at: number } | undefined;
  /** It has calls, and takes a probe when it is its turn. */
  readonly wants: { readonly round: number; readonly at: number } | undefined;
  /** It probes: in which slot, and until when at most. */
  readonly probe: { readonly round: number; readonly slot: number; readonly until: number } | undefined;
  /** Its probe of that round failed. `since`: when it had begun to want one, which shows that the slot was its own. */
  readonly failed:
    | { readonly round: number; readonly slot: number; readonly since: number; readonly at: number }
    | undefined;
  /** It closed that generation: by a probe in a slot of a round, or (`byHand`) because somebody said so. */
  readonly closed:
    | { readonly generation: number; readonly round: number; readonly slot: number; readonly since: number }
    | undefined;
  /** Somebody opened it by hand, until then or, when undefined, for good. */
  readonly tripped: { readonly until: number | undefined } | undefined;
}

export const silentReport: Report = {
  generation: 0,
  failures: 0,
  successes: 0,
  sequence: 0,
  open: undefined,
  wants: undefined,
  probe: undefined,
  failed: undefined,
  closed: undefined,
  tripped: undefined,
};

/** The slot of a closing that was no probe. */
export const byHand = -1;

/** As it is stored: lists of numbers under one letter each, absent where there is nothing to say. */
export function encodeReport(report: Report): { readonly [key: string]: Value } {
  const { generation, failures, successes, sequence, open, wants, probe, failed, closed, tripped } = report;
  return {
    g: generation,
    v: [failures, successes, sequence],
    ...(open && { o: [open.round, open.at] }),
    ...(wants && { w: [wants.round, wants.at] }),
    ...(probe && { p: [probe.round, probe.slot, probe.until] }),
    ...(failed && { f: [failed.round, failed.slot, failed.since, failed.at] }),
    ...(closed && { c: [closed.generation, closed.round, closed.slot, closed.since] }),
    ...(tripped && { t: tripped.until === undefined ? [] : [tripped.until] }),
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isAmount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= 1e9;
/** A date JavaScript can write. */
const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= 8.64e15;
const isSlot = (value: unknown): value is number => value === byHand || isCount(value);

type Check = (value: unknown) => value is number;

/** The numbers of a list of exactly these; undefined when it is absent, null when it is something else. */
function numbers(value: Value, ...checks: readonly Check[]): readonly number[] | undefined | null {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length !== checks.length) return null;
  return checks.every((check, at) => check(value[at])) ? (value as number[]) : null;
}

/** Undefined when it is no report. */
export function parseReport(value: Value): Report | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (value instanceof Map || value instanceof Date || value instanceof Uint8Array) return undefined;
  const given = value as { readonly [key: string]: Value };
  const { g } = given;
  const v = numbers(given['v'], isAmount, isAmount, isCount);
  const o = numbers(given['o'], isCount, isTime);
  const w = numbers(given['w'], isCount, isTime);
  const p = numbers(given['p'], isCount, isCount, isTime);
  const f = numbers(given['f'], isCount, isCount, isTime, isTime);
  const c = numbers(given['c'], isCount, isCount, isSlot, isTime);
  const t = Array.isArray(given['t']) && given['t'].length === 0 ? [] : numbers(given['t'], isTime);
  if (!isCount(g) || !v || o === null || w === null || p === null || f === null || c === null || t === null) {
    return undefined;
  }
  const [failures, successes, sequence] = v as [number, number, number];
  return {
    generation: g,
    failures,
    successes,
    sequence,
    open: o && { round: o[0] as number, at: o[1] as number },
    wants: w && { round: w[0] as number, at: w[1] as number },
    probe: p && { round: p[0] as number, slot: p[1] as number, until: p[2] as number },
    failed: f && { round: f[0] as number, slot: f[1] as number, since: f[2] as number, at: f[3] as number },
    closed: c && { generation: c[0] as number, round: c[1] as number, slot: c[2] as number, since: c[3] as number },
    tripped: t && { until: t[0] },
  };
}
