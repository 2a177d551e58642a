/** What one seed does: group, conditions, faults and adversaries, drawn before anything runs. */
import { type Rng, seededRng } from '../../../src/clock.ts';
import { maxFaulty } from '../../../src/protocols/pbft/quorum.ts';
import { adversaryNames } from './adversaries/catalogue.ts';
import type { Conditions } from './world.ts';

export type Fault =
  | { readonly kind: 'crash'; readonly replica: number; readonly at: number; readonly backAt: number }
  /** Links cut from the one side to the other, and back where symmetric. */
  | {
      readonly kind: 'partition';
      readonly side: readonly number[];
      readonly symmetric: boolean;
      readonly at: number;
      readonly until: number;
    }
  /** All at once; each is back at a time of its own. */
  | { readonly kind: 'blackout'; readonly at: number; readonly backAt: readonly number[] }
  | { readonly kind: 'adversary'; readonly replica: number; readonly name: string }
  | { readonly kind: 'reconfigure'; readonly at: number; readonly validators: readonly number[]; readonly f: number }
  | { readonly kind: 'badClient'; readonly name: 'flooder' | 'twoFaced' }
  | { readonly kind: 'skew'; readonly replica: number; readonly offset: number; readonly rate: number };

export interface Plan {
  readonly seed: number;
  readonly n: number;
  readonly f: number;
  /** Nodes that may become validators later. */
  readonly spares: number;
  readonly conditions: Conditions;
  readonly maxSyncMs: number;
  readonly clients: number;
  readonly commandsPerClient: number;
  /** Milliseconds of faults before everything is repaired. */
  readonly chaosMs: number;
  readonly maxInFlight: number;
  readonly maxViewMs: number;
  readonly faults: readonly Fault[];
}

const shapes = [
  { n: 4, f: 1, weight: 10 },
  { n: 5, f: 1, weight: 2 },
  { n: 6, f: 1, weight: 1 },
  { n: 7, f: 2, weight: 3 },
  { n: 3, f: 0, weight: 3 },
  { n: 5, f: 0, weight: 1 },
  { n: 2, f: 0, weight: 0.5 },
  { n: 1, f: 0, weight: 0.5 },
];

const pick = <T>(rng: Rng, items: readonly T[]): T => items[rng.below(items.length)] as T;
const chance = (rng: Rng, probability: number): boolean => rng.float() < probability;

function pickShape(rng: Rng): { n: number; f: number } {
  let left = rng.float() * shapes.reduce((sum, { weight }) => sum + weight, 0);
  for (const shape of shapes) {
    left -= shape.weight;
    if (left < 0) return shape;
  }
  return { n: 4, f: 1 };
}

/** Everything the seed decides. `only` restricts the adversaries to those names. */
export function planFor(seed: number, only?: readonly string[]): Plan {
  const rng = seededRng(seed * 2654435761);
  for (let skip = 0; skip < 4; skip++) rng.float();
  const { n, f } = only === undefined ? pickShape(rng) : pick(rng, shapes.slice(0, 4));
  const chaosMs = 1_500 + rng.below(3_500);
  const rough = chance(rng, 0.6);
  const conditions: Conditions = {
    minDelay: 0.2,
    maxDelay: chance(rng, 0.3) ? 60 : 6,
    loss: rough ? rng.float() * 0.3 : 0,
    duplication: rough ? rng.float() * 0.3 : 0,
    straggle: chance(rng, 0.4) ? 0.05 : 0,
    stragglerMs: 600,
  };
  const faults: Fault[] = [...adversaries(rng, n, f, only), ...disturbances(rng, n, chaosMs)];
  const spares = f > 0 && chance(rng, 0.2) ? 2 : 0;
  if (spares > 0) faults.push(...reconfigurations(rng, n, f, spares, chaosMs));
  if (chance(rng, 0.15)) faults.push({ kind: 'badClient', name: pick(rng, ['flooder', 'twoFaced'] as const) });
  return {
    seed,
    n,
    f,
    spares,
    conditions,
    maxSyncMs: chance(rng, 0.2) ? 30 : 2,
    clients: 1 + rng.below(3),
    commandsPerClient: 6 + rng.below(14),
    chaosMs,
    maxInFlight: 1 + rng.below(4),
    maxViewMs: chance(rng, 0.1) ? 800 : 0,
    faults,
  };
}

function adversaries(rng: Rng, n: number, f: number, only: readonly string[] | undefined): Fault[] {
  const count = only === undefined ? rng.below(f + 1) + (f > 0 && chance(rng, 0.3) ? 1 : 0) : f;
  const replicas = Array.from({ length: n }, (_, index) => index);
  const names = only ?? adversaryNames;
  return Array.from({ length: Math.min(count, f) }, () => {
    // Primaries of the first views do the most harm.
    const index = chance(rng, 0.6) ? rng.below(2) : rng.below(replicas.length);
    const replica = replicas.splice(index, 1)[0] as number;
    return { kind: 'adversary', replica, name: pick(rng, names) };
  });
}

function disturbances(rng: Rng, n: number, chaosMs: number): Fault[] {
  const faults: Fault[] = [];
  const time = (): number => rng.below(chaosMs);
  for (let count = rng.below(4); count > 0; count--) {
    const at = time();
    faults.push({ kind: 'crash', replica: rng.below(n), at, backAt: Math.min(at + 20 + rng.below(1_500), chaosMs) });
  }
  for (let count = rng.below(3); count > 0; count--) {
    const side = Array.from({ length: n }, (_, index) => index).filter(() => chance(rng, 0.4));
    const at = time();
    faults.push({ kind: 'partition', side, symmetric: chance(rng, 0.6), at, until: at + 100 + rng.below(1_500) });
  }
  if (chance(rng, 0.25)) {
    const at = time();
    const spread = chance(rng, 0.5) ? 20 : 1_200;
    const backAt = Array.from({ length: n }, () => Math.min(at + 10 + rng.below(spread), chaosMs));
    faults.push({ kind: 'blackout', at, backAt });
  }
  if (chance(rng, 0.3)) {
    faults.push({
      kind: 'skew',
      replica: rng.below(n),
      offset: rng.below(40_000) - 20_000,
      rate: 0.8 + rng.float() * 0.4,
    });
  }
  return faults;
}

/** One change of validators, or two, one after the other or at once. */
function reconfigurations(rng: Rng, n: number, f: number, spares: number, chaosMs: number): Fault[] {
  const changes: Fault[] = [];
  let present = Array.from({ length: n }, (_, index) => index);
  for (let count = 1 + rng.below(2); count > 0; count--) {
    const absent = Array.from({ length: n + spares }, (_, index) => index).filter((index) => !present.includes(index));
    const newcomer = absent[rng.below(absent.length)];
    const kind = rng.below(3);
    const next = [...present];
    if (kind === 0 && newcomer !== undefined) next.push(newcomer);
    else if (kind === 1 && newcomer !== undefined) next[rng.below(next.length)] = newcomer;
    else if (next.length > 3 * f + 1) next.splice(rng.below(next.length), 1);
    else next.push(next.shift() as number);
    changes.push({
      kind: 'reconfigure',
      at: rng.below(chaosMs),
      validators: next,
      f: Math.min(f, maxFaulty(next.length)),
    });
    present = next;
  }
  return changes;
}
