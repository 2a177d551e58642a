/**
 * The breaker of all nodes of a scope, as one of them sees it. Pure: reports and time in, a report and a state out.
 *
 * Intuition. Each node tells its failures; when the votes open it (tally.ts), every node sees that for itself, and says so. Who has not seen the votes believes
 * it of more than `liars` nodes (Bracha, "Asynchronous Byzantine agreement protocols", 1987: amplification), so an opening reaches all or, but for liars, nobody.
 * Since when it is open is the (liars + 1)-th earliest of what they say, which no liar moves beyond what an honest node says. From there on all compute the same
 * rota of probes (rota.ts). A probe that failed begins the next round, twice as long. A closing begins the next generation, and what was said in a former one is void.
 *
 * Invariants. Up to `liars` nodes neither open it for others nor keep it closed. One probe at a time, as rota.ts says. What a liar can do: waste the slots that
 * are its own (of n nodes that want to call, one n-th), fail its probe, and close what is open; then calls pass, fail, and open it again. A closing that was no
 * probe counts once per recovery time and node.
 */
import type { NodeId } from '../../../node-id.ts';
import { forgottenAfterMs, longestProbeMs, type RecoveryOptions, recoveryMs } from './node-breaker.ts';
import { byHand, type Report, silentReport } from './report.ts';
import { type Candidate, Rota, settleMs, slotMs } from './rota.ts';
import { highestVouched, lowestVouched, type Tally, type TallyOptions, tally, type Vote } from './tally.ts';

export interface ScopeOptions extends TallyOptions, RecoveryOptions {
  /** Tells this breaker and agent from all others. */
  readonly name: string;
}

export interface Probe {
  readonly generation: number;
  readonly round: number;
  readonly slot: number;
  readonly since: number;
  readonly until: number;
}

/** A closing claimed to be so far ahead is nobody's: it would use the numbers up. */
const maxGenerationLead = 1_000;
/** A closing is told for so long. Whoever was away for longer finds out by a probe of its own. */
const toldForMs = 60_000;

const none: Vote = { failures: 0, successes: 0 };

export class ScopeBreaker {
  readonly self: NodeId;
  readonly #options: ScopeOptions;
  /** The live nodes of the scope but this one; those that say nothing are silent. */
  #others: ReadonlyMap<NodeId, Report> = new Map();
  /** Votes of former generations: the sequence they had when this one began. */
  readonly #void = new Map<NodeId, number>();
  /** Closings by hand that count: whose, and until when none of theirs counts again. */
  readonly #heeded = new Map<NodeId, number>();
  #generation = 0;
  #open: { readonly round: number; readonly at: number } | undefined;
  #rota: Rota | undefined;
  #vote: Vote = none;
  #sequence: number;
  #wants: Report['wants'];
  #probe: Probe | undefined;
  #failed: Report['failed'];
  #closed: (NonNullable<Report['closed']> & { readonly toldUntil: number }) | undefined;
  #tripped: Report['tripped'];
  #trusted: NodeId | undefined;
  #reason = '';
  #wishes = 0;

  /** `startedAt`: higher at each start of the process, so that no vote of a former life is taken for one of this. */
  constructor(self: NodeId, options: ScopeOptions, startedAt: number) {
    this.self = self;
    this.#options = options;
    this.#sequence = Math.floor(startedAt);
  }

  /** Rises when it closes. */
  get generation(): number {
    return this.#generation;
  }

  /** Rises with each wish to call and each probe: then there is something to tell. */
  get wishes(): number {
    return this.#wishes;
  }

  /** In words: why it is open, or was closed. */
  reason(wall: number): string {
    return this.#tripUntil(wall) === undefined ? this.#reason : 'it was opened by hand';
  }

  /** Whether others have votes against the agent, so that what succeeds here is worth telling. */
  get isAccused(): boolean {
    for (const [node, report] of this.#others) if (this.#voteOf(node, report).failures > 0) return true;
    return false;
  }

  state(wall: number): 'closed' | 'open' | 'halfOpen' {
    if (this.#tripUntil(wall) !== undefined) return 'open';
    if (this.#rota === undefined) return 'closed';
    return wall < this.#rota.startsAt ? 'open' : 'halfOpen';
  }

  counted(): Tally {
    return tally(this.#votes(), this.#options);
  }

  setVote(vote: Vote): void {
    if (vote.failures === this.#vote.failures && vote.successes === this.#vote.successes) return;
    this.#vote = vote;
    this.#sequence += 1;
  }

  /** What the others say, and which node the agent is on: that one may open it for all, since it may refuse every call anyway. */
  setReports(others: ReadonlyMap<NodeId, Report>, agentNode: NodeId | undefined): void {
    this.#others = others;
    this.#trusted = agentNode;
    for (const node of [...this.#void.keys(), ...this.#heeded.keys()]) {
      if (others.has(node)) continue;
      this.#void.delete(node);
      this.#heeded.delete(node);
    }
  }

  /** Draws the conclusions; to be called after every input and whenever `nextAt` is reached. */
  update(wall: number): void {
    this.#catchUp();
    for (const [node, report] of this.#others) this.#heedClosing(node, report, wall);
    if (this.#open === undefined) this.#openIfTold(wall);
    else this.#followRounds(wall);
    this.#agreeOnStart();
    if (wall >= this.#forgottenAt) this.#begin(this.#generation + 1, 'nobody has called it for long');
  }

  /** May this call pass, as the probe? A refused one shows that this node has calls. */
  takeProbe(wall: number, until: number): Probe | undefined {
    const open = this.#open;
    const rota = this.#rota;
    if (open === undefined || rota === undefined || this.#tripUntil(wall) !== undefined) return undefined;
    if (this.#wants?.round !== open.round) {
      this.#wants = { round: open.round, at: wall };
      this.#wishes += 1;
    }
    if (wall < rota.startsAt || this.#isProbing(wall)) return undefined;
    const slot = rota.slotAt(wall);
    if (!this.#isMyTurn(rota, slot, wall)) return undefined;
    const latest = rota.startOf(slot) + longestProbeMs(this.#options);
    this.#wishes += 1;
    const { round, at: since } = this.#wants;
    this.#probe = { generation: this.#generation, round, slot, since, until: Math.min(until, latest) };
    return this.#probe;
  }

  endProbe(probe: Probe, verdict: 'success' | 'failure' | 'ignore', wall: number): void {
    if (this.#probe === probe) this.#probe = undefined;
    const { generation, round, slot, since } = probe;
    if (generation !== this.#generation || this.#open?.round !== round || verdict === 'ignore') return;
    if (verdict === 'success') {
      this.#closed = { generation, round, slot, since, toldUntil: wall + toldForMs };
      this.#begin(generation + 1, 'a probe of this node succeeded');
    } else {
      this.#failed = { round, slot, since, at: wall };
      this.#nextRound(round + 1, this.#clampToProbe(slot, wall), 'the probe failed');
    }
    this.#agreeOnStart();
  }

  /** Closes it by hand, here and, once they hear of it, for all. */
  close(wall: number): void {
    const generation = this.#generation;
    this.#closed = { generation, round: this.#open?.round ?? 0, slot: byHand, since: 0, toldUntil: wall + toldForMs };
    this.#tripped = undefined;
    this.#begin(generation + 1, 'it was reset');
  }

  /** Opens it by hand: here, and for all when this is the agent's node or enough others do. */
  trip(until: number | undefined): void {
    this.#tripped = { until };
  }

  /** Undefined when there is nothing to tell. */
  report(wall: number): Report | undefined {
    const closed = this.#closed !== undefined && wall < this.#closed.toldUntil ? this.#closed : undefined;
    const tripped = isPast(this.#tripped, wall) ? undefined : this.#tripped;
    const { failures, successes } = this.#vote;
    const says = failures + successes > 0 || this.#open || this.#wants || this.#probe || closed || tripped;
    if (!says) return undefined;
    return {
      ...silentReport,
      generation: this.#generation,
      failures,
      successes,
      sequence: this.#sequence,
      open: this.#open,
      wants: this.#wants,
      probe: this.#probe,
      failed: this.#failed,
      closed,
      tripped,
    };
  }

  /** When something changes by the passing of time alone. */
  nextAt(wall: number): number | undefined {
    const trips = [this.#tripped, ...[...this.#others.values()].map(({ tripped }) => tripped)];
    const times = [
      this.#rota?.startsAt,
      this.#forgottenAt,
      this.#closed?.toldUntil,
      ...trips.map((trip) => trip?.until),
    ];
    const next = Math.min(
      ...times.map((time) => (time !== undefined && time > wall ? time : Number.POSITIVE_INFINITY)),
    );
    return Number.isFinite(next) ? next : undefined;
  }

  /** Milliseconds until a call here may pass, as far as that is known. */
  retryAfterMs(wall: number): number {
    const trip = this.#tripUntil(wall);
    if (trip !== undefined) return Number.isFinite(trip) ? trip - wall : this.#options.recoveryTimeMs;
    const rota = this.#rota;
    if (rota === undefined) return 0;
    if (wall < rota.startsAt) return rota.startsAt - wall;
    return rota.startOf(rota.slotAt(wall) + 1) - wall;
  }

  /**
   * Whoever calls gets its turn to probe soon, so callers have gone when a round takes so much longer. A wish prolongs it, but not for ever, since it may be a lie.
   */
  get #forgottenAt(): number {
    const rota = this.#rota;
    if (rota === undefined) return Number.POSITIVE_INFINITY;
    const afterMs = forgottenAfterMs(this.#options);
    let from = rota.startsAt;
    for (const { since } of this.#candidates()) from = Math.max(from, Math.min(since, rota.startsAt + afterMs));
    return from + afterMs;
  }

  /** The end of a trip that counts here: of this node, of the agent's, or of more than `liars` others. */
  #tripUntil(wall: number): number | undefined {
    const ends: number[] = [];
    let end = isPast(this.#tripped, wall) ? undefined : (this.#tripped?.until ?? Number.POSITIVE_INFINITY);
    for (const [node, { tripped, generation }] of this.#others) {
      if (tripped === undefined || isPast(tripped, wall) || generation < this.#generation) continue;
      const until = tripped.until ?? Number.POSITIVE_INFINITY;
      ends.push(until);
      if (node === this.#trusted) end = Math.max(end ?? until, until);
    }
    const vouched = highestVouched(ends, this.#options.liars);
    if (vouched !== undefined) end = Math.max(end ?? vouched, vouched);
    return end;
  }

  #voteOf(node: NodeId, report: Report): Vote {
    return this.#void.get(node) === report.sequence ? none : report;
  }

  *#votes(): Iterable<readonly [NodeId, Vote]> {
    yield [this.self, this.#vote];
    for (const [node, report] of this.#others) yield [node, this.#voteOf(node, report)];
  }

  /** Those who say it is open in this generation. */
  #claims(): NonNullable<Report['open']>[] {
    const claims: NonNullable<Report['open']>[] = [];
    for (const { open, generation } of this.#others.values()) {
      if (open !== undefined && generation >= this.#generation) claims.push(open);
    }
    return claims;
  }

  /** More than `liars` nodes are further: closings were missed here. */
  #catchUp(): void {
    const generations = [...this.#others.values()].map(({ generation }) => generation);
    const vouched = highestVouched(generations, this.#options.liars);
    if (vouched !== undefined && vouched > this.#generation) this.#begin(vouched, 'other nodes have closed it');
  }

  #heedClosing(node: NodeId, { closed }: Report, wall: number): void {
    if (closed === undefined || closed.generation < this.#generation) return;
    if (closed.generation > this.#generation + maxGenerationLead) return;
    const isProbe =
      closed.slot !== byHand && this.#open?.round === closed.round && this.#mayProbe(node, closed.slot, closed.since);
    if (!isProbe) {
      if (wall < (this.#heeded.get(node) ?? 0)) return;
      this.#heeded.set(node, wall + this.#options.recoveryTimeMs);
    }
    // What was opened by hand is closed by hand.
    if (closed.slot === byHand) this.#tripped = undefined;
    const how = closed.slot === byHand ? 'it was reset by' : 'a probe succeeded at';
    this.#begin(closed.generation + 1, `${how} node ${node}`);
  }

  #begin(generation: number, reason: string): void {
    this.#generation = generation;
    this.#open = undefined;
    this.#rota = undefined;
    this.#wants = undefined;
    this.#failed = undefined;
    this.#reason = reason;
    this.setVote(none);
    this.#void.clear();
    for (const [node, report] of this.#others) {
      if (report.generation < generation) this.#void.set(node, report.sequence);
    }
  }

  #openIfTold(wall: number): void {
    const { liars, failureThreshold } = this.#options;
    const claims = this.#claims();
    const round = highestVouched(
      claims.map((claim) => claim.round),
      liars,
    );
    if (round !== undefined) {
      this.#nextRound(round, lowestVouched(startsOf(claims, round), liars) ?? wall, 'other nodes have opened it');
      return;
    }
    const counted = this.counted();
    if (!counted.opens) return;
    const who = counted.reporters.join(', ');
    this.#nextRound(
      0,
      wall,
      `${countOf(counted.failures)} counted (threshold ${failureThreshold}), reported by ${who}`,
    );
  }

  #followRounds(wall: number): void {
    const { liars } = this.#options;
    const claims = this.#claims();
    const vouched = highestVouched(
      claims.map((claim) => claim.round),
      liars,
    );
    if (vouched !== undefined && vouched > (this.#open as { round: number }).round) {
      const at = lowestVouched(startsOf(claims, vouched), liars) ?? wall;
      this.#nextRound(vouched, at, 'probes of other nodes failed');
    }
    for (const [node, { failed, generation }] of this.#others) {
      if (failed === undefined || generation < this.#generation || failed.round !== this.#open?.round) continue;
      if (failed.slot > (this.#rota?.slotAt(wall + settleMs) ?? -1) || !this.#mayProbe(node, failed.slot, failed.since))
        continue;
      this.#nextRound(failed.round + 1, this.#clampToProbe(failed.slot, failed.at), `the probe of node ${node} failed`);
    }
  }

  #nextRound(round: number, at: number, reason: string): void {
    this.#open = { round, at };
    this.#wants = undefined;
    this.#reason = reason;
    this.#setRota(at);
  }

  /** Since when it is open, as all see it: what liars say lies within what honest nodes say, or does not count. */
  #agreeOnStart(): void {
    const open = this.#open;
    if (open === undefined) return;
    const starts = [open.at, ...startsOf(this.#claims(), open.round)];
    this.#setRota(lowestVouched(starts, this.#options.liars) ?? open.at);
  }

  #setRota(at: number): void {
    const round = this.#open?.round ?? 0;
    const startsAt = at + recoveryMs(round, this.#options);
    const name = `${this.#options.name} ${this.#generation} ${round}`;
    if (this.#rota?.startsAt !== startsAt || this.#rota.name !== name) this.#rota = new Rota(name, startsAt);
  }

  /** When a probe of that slot can have ended. */
  #clampToProbe(slot: number, at: number): number {
    const start = this.#rota?.startOf(slot) ?? at;
    return Math.min(Math.max(at, start), start + longestProbeMs(this.#options));
  }

  /** Those who want to probe in this round. One that has, and is in the next round by now, says since when it had wanted to. */
  *#candidates(former?: Candidate): Iterable<Candidate> {
    const round = this.#open?.round;
    if (former !== undefined) yield former;
    if (this.#wants?.round === round && this.#wants !== undefined) yield { node: this.self, since: this.#wants.at };
    for (const [node, { wants, generation }] of this.#others) {
      if (node === former?.node) continue;
      if (wants !== undefined && wants.round === round && generation >= this.#generation)
        yield { node, since: wants.at };
    }
  }

  #mayProbe(node: NodeId, slot: number, since?: number): boolean {
    const former = since === undefined ? undefined : { node, since };
    return slot >= 0 && this.#rota?.prober(slot, this.#candidates(former)) === node;
  }

  #isMyTurn(rota: Rota, slot: number, wall: number): boolean {
    if (this.#others.size === 0) return true;
    if (!this.#mayProbe(this.self, slot)) return false;
    // In the second half of a slot the others might not hear of the probe before the next one begins.
    return wall < rota.startOf(slot) + slotMs - settleMs || this.#mayProbe(this.self, slot + 1);
  }

  /** Whether a probe is under way, here or elsewhere. What others say counts only for slots that are theirs, and not for ever. */
  #isProbing(wall: number): boolean {
    if (this.#probe !== undefined && wall < this.#probe.until) return true;
    const rota = this.#rota as Rota;
    for (const [node, { probe, generation }] of this.#others) {
      if (probe === undefined || generation < this.#generation || probe.round !== this.#open?.round) continue;
      const until = Math.min(probe.until, rota.startOf(probe.slot) + longestProbeMs(this.#options));
      if (wall < until && probe.slot <= rota.slotAt(wall + settleMs) && this.#mayProbe(node, probe.slot)) return true;
    }
    return false;
  }
}

/** For people. */
export function countOf(failures: number): string {
  return failures === 1 ? '1 failure' : `${failures} failures`;
}

function isPast(trip: Report['tripped'], wall: number): boolean {
  return trip === undefined || (trip.until !== undefined && trip.until <= wall);
}

function startsOf(claims: readonly NonNullable<Report['open']>[], round: number): number[] {
  return claims.filter((claim) => claim.round === round).map((claim) => claim.at);
}
