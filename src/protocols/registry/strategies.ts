/** Ways to choose one of several agents. What each does is said at `BuiltInStrategy`. */
import type { Test } from '../../crdt/registry-criteria.ts';
import type { AgentRecord } from '../../crdt/registry-record.ts';
import type { AgentId } from '../../value.ts';
import type { BuiltInStrategy, ResolveContext } from './records.ts';

type Candidates = readonly AgentRecord[];

/** Criteria whose turn is remembered; the oldest is forgotten first. */
const maxRotations = 1024;

export class Strategies {
  readonly #context: ResolveContext;
  /** Criteria → the id chosen last. */
  readonly #turns = new Map<string, AgentId>();

  constructor(context: ResolveContext) {
    this.#context = context;
  }

  /** `candidates` is not empty and ordered by id; `tests` are what they passed. Undefined for an unknown name. */
  choose(
    name: BuiltInStrategy,
    candidates: Candidates,
    tests: readonly Test[],
  ): { readonly record: AgentRecord | undefined } | undefined {
    switch (name) {
      case 'nearestHealthy':
        return { record: this.#nearest(candidates) };
      case 'leastLoaded':
        return { record: this.#leastLoaded(candidates) };
      case 'roundRobin':
        return { record: this.#nextInTurn(candidates, tests) };
      case 'random':
        return { record: this.#random(candidates) };
      case 'sameZone':
        return { record: this.#nearest(candidates.filter(({ zone }) => zone === this.#context.zone)) };
      default:
        return undefined;
    }
  }

  #random(candidates: Candidates): AgentRecord | undefined {
    return candidates[Math.floor(this.#context.random() * candidates.length)];
  }

  #nearest(candidates: Candidates): AgentRecord | undefined {
    let best: AgentRecord | undefined;
    let bestDistance: Distance | undefined;
    let equals = 0;
    for (const candidate of candidates) {
      const distance = this.#distance(candidate);
      const order = bestDistance === undefined ? -1 : compareDistances(distance, bestDistance);
      if (order > 0) continue;
      equals = order < 0 ? 1 : equals + 1;
      // One of equals at random, each with the same chance (reservoir sampling): nobody gets the whole load.
      if (equals === 1 || this.#context.random() * equals < 1) best = candidate;
      bestDistance = distance;
    }
    return best;
  }

  #distance({ node, zone, health }: AgentRecord): Distance {
    const { self, zone: ownZone } = this.#context;
    return {
      degraded: health === 'healthy' ? 0 : 1,
      away: node === self ? 0 : zone === ownZone ? 1 : 2,
      rttMs: this.#context.rttMs(node) ?? Number.POSITIVE_INFINITY,
    };
  }

  /** Power of two choices (Mitzenmacher 2001): nearly as even as asking all, and nobody herds to the same one. */
  #leastLoaded(candidates: Candidates): AgentRecord | undefined {
    if (candidates.length < 2) return candidates[0];
    const first = Math.floor(this.#context.random() * candidates.length);
    const step = 1 + Math.floor(this.#context.random() * (candidates.length - 1));
    const a = candidates[first] as AgentRecord;
    const b = candidates[(first + step) % candidates.length] as AgentRecord;
    return this.#load(b) < this.#load(a) ? b : a;
  }

  #load({ id, node, capacity, health }: AgentRecord): number {
    const cpu = capacity['cpu'] ?? this.#context.freeCapacity(node)['cpu'] ?? 1;
    const size = Math.min(Math.max(cpu, 0.01), 1_000_000) * (health === 'healthy' ? 1 : 0.25);
    return (this.#context.pendingCalls(id) + 1) / size;
  }

  #nextInTurn(candidates: Candidates, tests: readonly Test[]): AgentRecord | undefined {
    const key = rotationKey(tests);
    const last = this.#turns.get(key);
    // After the one chosen last, whether it is still there or not.
    const next = candidates.find(({ id }) => last === undefined || id > last) ?? candidates[0];
    if (next === undefined) return undefined;
    this.#turns.delete(key);
    this.#turns.set(key, next.id);
    if (this.#turns.size > maxRotations) this.#turns.delete(this.#turns.keys().next().value as string);
    return next;
  }
}

interface Distance {
  readonly degraded: number;
  readonly away: number;
  readonly rttMs: number;
}

function compareDistances(a: Distance, b: Distance): number {
  if (a.degraded !== b.degraded) return a.degraded - b.degraded;
  if (a.away !== b.away) return a.away - b.away;
  return a.rttMs < b.rttMs ? -1 : a.rttMs > b.rttMs ? 1 : 0;
}

/** Equal for equal criteria. Values JSON cannot tell apart share a turn, which harms nobody. */
function rotationKey(tests: readonly Test[]): string {
  const parts = tests.map(({ path, op, value }) => [path, op, value]);
  return JSON.stringify(parts, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
}
