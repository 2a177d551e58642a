/**
 * One barrier and its generations. Pure; knows agreed time only as a number it is given.
 *
 * Intuition: a generation is a set of arrivals. After every change the terms are asked (`verdict`) whether it opens, breaks, or goes on; it
 * ends exactly once, and what is asked about it later is answered from its record. So whatever becomes of a message,
 * trying again is harmless, and everybody hears the same.
 *
 * Invariants: an arrival counts once per participant, however often and by whichever way it is told. A try that was withdrawn never counts
 * afterwards. A node moves only its own participants. A participant who waits and renews is not lost, whatever others say; one who never came is lost
 * when two nodes say so, so one liar cannot break a barrier, nor open it without somebody. (Agents are who their nodes say they are: where participants
 * are only counted, a node fills as many places as it has names for.)
 *
 * Source: the cyclic barrier of shared memory (sense reversal: Hensgen, Finkel, Manber, 1988), with leases in place of threads that cannot vanish.
 */
import type { GenerationRef, Outcome } from './commands.ts';
import { type BarrierTerms, expectedOf, shareOf } from './terms.ts';

/** Ended generations that are remembered, for those who ask late. */
const maxEnded = 4;
/** Names given of participants whom the terms do not name. */
const maxNamesGiven = 64;

export interface Arrival {
  readonly node: string;
  readonly as: string;
  readonly zone: string;
  readonly attempt: number;
  /** Agreed time until which it stands without renewal. */
  until: number;
}

export interface Ended {
  readonly outcome: Outcome;
  /** Whose arrival was part of it, and by which try. */
  readonly attended: ReadonlyMap<string, number>;
}

export type Admission =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly why: 'stranger' | 'held' | 'no-zone' | 'full' }
  /** Only a try above that counts. */
  | { readonly admitted: false; readonly why: 'withdrawn'; readonly attempt: number };

export type Verdict = 'open' | 'lost' | 'below-minimum' | undefined;

const participantOf = (node: string, as: string): string => `${node}/${as}`;

export class Generations {
  readonly id: string;
  readonly terms: BarrierTerms;
  /** A fencing token: of two barriers that had this id, the later has the higher. */
  readonly epoch: number;
  readonly nonce: Uint8Array;
  readonly expected: number;
  generation = 1;
  firstArrivalAt: number | undefined;
  /** By agent where agents are named, by node and name otherwise; in the order of arrival. */
  readonly arrivals = new Map<string, Arrival>();
  /** Came, and fell silent. */
  readonly lapsed = new Map<string, { readonly as: string; readonly zone: string }>();
  /** Never came, and are reported lost. */
  readonly reported = new Set<string>();
  /** Named → the first node that reported it lost. */
  readonly reports = new Map<string, string>();
  /** Participant → the highest try of this generation that it took back. */
  readonly withdrawn = new Map<string, number>();
  /** Oldest first. */
  ended: readonly Ended[] = [];
  readonly #named: ReadonlySet<string> | undefined;
  readonly #arrivedIn = new Map<string, number>();

  constructor(id: string, terms: BarrierTerms, epoch: number, nonce: Uint8Array) {
    this.id = id;
    this.terms = terms;
    this.epoch = epoch;
    this.nonce = nonce;
    this.expected = expectedOf(terms.who);
    this.#named = terms.who.kind === 'list' ? new Set(terms.who.agents) : undefined;
  }

  get at(): GenerationRef {
    return { id: this.id, epoch: this.epoch, generation: this.generation };
  }

  get deadlineAt(): number | undefined {
    const { deadlineMs } = this.terms;
    return this.firstArrivalAt === undefined || deadlineMs === null ? undefined : this.firstArrivalAt + deadlineMs;
  }

  /** The arrival of this participant as this node told it, if it stands. */
  arrivalOf(node: string, as: string): Arrival | undefined {
    const arrival = this.arrivals.get(this.#keyOf(node, as));
    return arrival?.node === node ? arrival : undefined;
  }

  endedOf(generation: number): Ended | undefined {
    return this.ended.find(({ outcome }) => outcome.generation === generation);
  }

  attended(generation: number, node: string, as: string, attempt: number): boolean {
    return this.endedOf(generation)?.attended.get(participantOf(node, as)) === attempt;
  }

  admit(came: Omit<Arrival, 'until'>, time: number): Admission {
    const { node, as, zone, attempt } = came;
    if (this.#named !== undefined && !this.#named.has(as)) return { admitted: false, why: 'stranger' };
    const key = this.#keyOf(node, as);
    const until = time + this.terms.leaseMs;
    const present = this.arrivals.get(key);
    if (present !== undefined) {
      if (present.node !== node) return { admitted: false, why: 'held' };
      if (present.attempt > attempt) return { admitted: false, why: 'withdrawn', attempt: present.attempt };
      // A message that came twice, or a process that came back: in its place, in the zone it was counted in.
      this.arrivals.set(key, { ...came, zone: present.zone, until });
      return { admitted: true };
    }
    const floor = this.withdrawn.get(participantOf(node, as));
    if (floor !== undefined && attempt <= floor) return { admitted: false, why: 'withdrawn', attempt: floor };
    const problem = this.#noRoom(zone);
    if (problem !== undefined) return { admitted: false, why: problem };
    this.place({ node, as, zone, attempt, until });
    this.firstArrivalAt ??= time;
    this.lapsed.delete(key);
    this.reported.delete(as);
    this.reports.delete(as);
    return { admitted: true };
  }

  /** Puts an arrival where it belongs without asking; for `admit`, and for a state that is restored. */
  place(arrival: Arrival): void {
    this.arrivals.set(this.#keyOf(arrival.node, arrival.as), arrival);
    this.#arrivedIn.set(arrival.zone, (this.#arrivedIn.get(arrival.zone) ?? 0) + 1);
  }

  /** Takes back all tries up to `attempt`, also those still on their way. False for one who is no participant. */
  withdraw(node: string, as: string, attempt: number): boolean {
    if (this.#named !== undefined && !this.#named.has(as)) return false;
    const participant = participantOf(node, as);
    const floor = Math.max(attempt, this.withdrawn.get(participant) ?? 0);
    this.withdrawn.delete(participant);
    // Only one that signed for a relay and never waits again could still be counted once forgotten here, for the time of a lease.
    if (this.withdrawn.size >= 2 * this.expected + maxNamesGiven) dropOldest(this.withdrawn);
    this.withdrawn.set(participant, floor);
    const present = this.arrivalOf(node, as);
    if (present !== undefined && present.attempt <= attempt) this.#remove(present);
    return true;
  }

  report(reporter: string, lost: readonly string[]): void {
    for (const agent of lost) {
      if (this.#named?.has(agent) !== true || this.arrivals.has(agent) || this.reported.has(agent)) continue;
      const first = this.reports.get(agent);
      if (first === undefined) this.reports.set(agent, reporter);
      else if (first !== reporter) this.#lose(agent);
    }
  }

  /** Loses those whose lease is over. */
  lapse(time: number): void {
    for (const [key, arrival] of [...this.arrivals]) {
      if (arrival.until > time) continue;
      this.#remove(arrival);
      if (this.lapsed.size >= this.expected) dropOldest(this.lapsed);
      this.lapsed.set(key, { as: arrival.as, zone: arrival.zone });
    }
  }

  /** When the next lease ends, if nobody renews. */
  nextLapse(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.arrivals.values()) if (first === undefined || until < first) first = until;
    return first;
  }

  /** What the terms say of the generation as it stands; undefined: it goes on. */
  verdict(): Verdict {
    const { onLost, minimum } = this.terms;
    const arrived = this.arrivals.size;
    if (onLost === 'break' && this.lapsed.size + this.reported.size > 0) return 'lost';
    if (arrived === 0) return undefined;
    if (arrived === this.expected) return 'open';
    if (onLost !== 'proceed') return undefined;
    const excused = this.#excused();
    if (this.expected - excused < minimum) return 'below-minimum';
    return arrived + excused === this.expected && arrived >= minimum ? 'open' : undefined;
  }

  /** What the terms say when the deadline has come. */
  verdictAtDeadline(): 'open' | 'deadline' {
    const { onLost, minimum } = this.terms;
    return onLost === 'proceed' && this.arrivals.size >= minimum ? 'open' : 'deadline';
  }

  /** Nobody waits any more: the next arrival begins afresh. */
  forgetLosses(): void {
    this.firstArrivalAt = undefined;
    this.lapsed.clear();
    this.reported.clear();
    this.reports.clear();
  }

  end(opened: boolean, reason: Outcome['reason'], token: number): Outcome {
    const { missing, unnamed } = this.missing();
    const outcome: Outcome = {
      generation: this.generation,
      opened,
      reason,
      arrived: this.arrivals.size,
      missing,
      missingUnnamed: unnamed,
      token,
    };
    const attended = [...this.arrivals.values()].map(
      ({ node, as, attempt }) => [participantOf(node, as), attempt] as const,
    );
    this.ended = [...this.ended, { outcome, attended: new Map(attended) }].slice(-maxEnded);
    this.generation += 1;
    this.arrivals.clear();
    this.#arrivedIn.clear();
    this.withdrawn.clear();
    this.forgetLosses();
    return outcome;
  }

  missing(): { readonly missing: string[]; readonly unnamed: number } {
    const { who } = this.terms;
    if (who.kind === 'list') return { missing: who.agents.filter((agent) => !this.arrivals.has(agent)), unnamed: 0 };
    const count = this.expected - this.arrivals.size;
    const missing = [...this.lapsed.values()].slice(0, Math.min(maxNamesGiven, count)).map(({ as }) => as);
    return { missing, unnamed: count - missing.length };
  }

  lost(): string[] {
    return [...[...this.lapsed.values()].map(({ as }) => as), ...this.reported].slice(0, this.#namesToGive());
  }

  arrived(): string[] {
    return [...this.arrivals.values()].slice(0, this.#namesToGive()).map(({ as }) => as);
  }

  #namesToGive(): number {
    return this.#named === undefined ? maxNamesGiven : this.expected;
  }

  /** How many places need not be filled because who would fill them is lost. Others may have taken the places of some. */
  #excused(): number {
    const { who } = this.terms;
    if (who.kind === 'list') return this.lapsed.size + this.reported.size;
    if (who.kind === 'count') return Math.min(this.lapsed.size, this.expected - this.arrivals.size);
    const lostIn = new Map<string, number>();
    for (const { zone } of this.lapsed.values()) lostIn.set(zone, (lostIn.get(zone) ?? 0) + 1);
    return who.zones.reduce((sum, [zone, count]) => {
      const free = count - (this.#arrivedIn.get(zone) ?? 0);
      return sum + Math.min(lostIn.get(zone) ?? 0, free);
    }, 0);
  }

  #noRoom(zone: string): 'no-zone' | 'full' | undefined {
    const { who } = this.terms;
    if (who.kind === 'zones') {
      const share = shareOf(who, zone);
      if (share === undefined) return 'no-zone';
      return (this.#arrivedIn.get(zone) ?? 0) >= share ? 'full' : undefined;
    }
    return this.arrivals.size >= this.expected ? 'full' : undefined;
  }

  #lose(agent: string): void {
    this.reports.delete(agent);
    // One that came and fell silent is lost already.
    if (!this.lapsed.has(agent)) this.reported.add(agent);
  }

  #remove(arrival: Arrival): void {
    this.arrivals.delete(this.#keyOf(arrival.node, arrival.as));
    const left = (this.#arrivedIn.get(arrival.zone) ?? 1) - 1;
    if (left > 0) this.#arrivedIn.set(arrival.zone, left);
    else this.#arrivedIn.delete(arrival.zone);
  }

  #keyOf(node: string, as: string): string {
    return this.#named === undefined ? participantOf(node, as) : as;
  }
}

function dropOldest(map: Map<string, unknown>): void {
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
