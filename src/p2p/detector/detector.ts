/**
 * The failure detector of one node over the nodes it observes: a pure state machine.
 *
 * Sources: SWIM (Das, Gupta, Motivala, DSN 2002) for probes and indirect probes; Lifeguard (Dadgar,
 * Phillips, Currey, DSN-W 2018) for local health; RFC 6298 for adaptive timeouts; Rapid for who observes.
 *
 * Intuition. Whoever is heard, by any frame, is alive. A reset connection that two re-dials cannot restore
 * means that the process ended, and is known in milliseconds. Silence means little by itself: it is timed
 * from the sending of the first unanswered probe, others are asked to probe too, and only a long silence
 * becomes an accusation. A node that finds its own event loop stalled voids all its timing and becomes up
 * to eight times as patient, for the fault was its own.
 *
 * Invariants:
 * - Nobody is accused for silence earlier than `silenceMs` after the first unanswered probe was sent, and
 *   no time during which this node itself stood still counts.
 * - Each accusation is followed by a retraction as soon as the accused is heard.
 * - Timers, memory and traffic are O(subjects). Effects come in the order they must happen.
 */
import type { NodeId } from '../../node-id.ts';
import { IndirectProbes, remember } from './indirect.ts';
import type { DetectorEffect, DetectorInput, Evidence, PeerFrame } from './io.ts';
import { LocalHealth } from './local-health.ts';
import {
  type DetectorTimings,
  defaultDetectorTimings,
  flapMemoryMs,
  helperCount,
  loneHelperFactor,
  maxFlaps,
} from './timings.ts';
import {
  clearSilence,
  countFlap,
  newWatch,
  nextTurn,
  observeRtt,
  probeTimeoutMs,
  type Subject,
  silenceLimitMs,
  usualTimeoutMs,
  type Watch,
  type WatchStatus,
} from './watch.ts';

/** Probes remembered to match acks with; older ones give no round-trip time. */
const maxPending = 256;
/** Unanswered probes before an accusation, however slow the clock of probes is. */
const minMisses = 3;
/**
 * The same for dials, which take long when either side is busy: a handshake is the work of a thousand probes. One that is
 * still under way says nothing, however long it takes.
 */
const minFailedDials = 2;
const askIntervalMs = 1_000;

export class FailureDetector {
  readonly timings: DetectorTimings;
  readonly #watches = new Map<NodeId, Watch>();
  readonly #connected = new Set<NodeId>();
  readonly #probes = new Map<number, { readonly to: NodeId; readonly at: number }>();
  readonly #indirect = new IndirectProbes();
  readonly #health: LocalHealth;
  #seq = 0;
  #now: number;
  #lastHeardAny = Number.NEGATIVE_INFINITY;
  #effects: DetectorEffect[] = [];

  constructor(now: number, timings: Partial<DetectorTimings> = {}) {
    this.timings = { ...defaultDetectorTimings, ...timings };
    this.#now = now;
    this.#health = new LocalHealth(this.timings, now);
  }

  step(input: DetectorInput, now: number): DetectorEffect[] {
    this.#effects = [];
    if (this.#health.noticeStall(this.#now, now)) this.#voidTimings(now);
    this.#now = now;
    switch (input.type) {
      case 'subjects':
        this.#onSubjects(input.subjects);
        break;
      case 'connected':
        this.#onConnected(input.peer);
        break;
      case 'disconnected':
        this.#onDisconnected(input.peer);
        break;
      case 'dial-failed':
        this.#onDialFailed(input.peer, input.refused);
        break;
      case 'frame':
        this.#onFrame(input.peer, input.frame);
        break;
      case 'heard':
        this.#heard(input.peer);
        break;
      case 'refuted':
        this.#onRefuted(input.peer);
        break;
      case 'recheck':
        this.#onRecheck();
        break;
      case 'tick':
        this.#health.rememberLag(input.lateMs, now);
        break;
    }
    for (const watch of this.#watches.values()) this.#advance(watch);
    this.#expireRelays();
    return this.#effects;
  }

  /** False when hearing `peer` once more changes nothing: lets the driver pass over the frames of a busy peer cheaply. */
  hearingIsNews(peer: NodeId): boolean {
    const watch = this.#watches.get(peer);
    return watch !== undefined && (watch.silentSince !== undefined || watch.status !== 'ok');
  }

  /** When `step` wants to be called next, at the latest. */
  nextWakeAt(): number {
    let at = this.#now + this.timings.tickMs;
    for (const watch of this.#watches.values()) {
      if (!watch.dialling) at = Math.min(at, watch.nextAt);
      const verdictAt = this.#verdictAt(watch);
      if (verdictAt > this.#now) at = Math.min(at, verdictAt);
      at = Math.min(at, askAt(watch));
    }
    return Math.min(at, this.#indirect.nextExpiry());
  }

  status(peer: NodeId): WatchStatus | undefined {
    return this.#watches.get(peer)?.status;
  }

  /** Those watched and standing accused by this node. */
  accused(): NodeId[] {
    return [...this.#watches.values()].filter(({ status }) => status === 'accused').map(({ subject }) => subject.id);
  }

  watched(): Iterable<NodeId> {
    return this.#watches.keys();
  }

  rttMs(peer: NodeId): number | undefined {
    return this.#watches.get(peer)?.rttMs;
  }

  /** Local health score: 0 is well, 7 is so unwell that every deadline is eight times as long. */
  get health(): number {
    return this.#health.score;
  }

  /** Our own worst event-loop lag of the last seconds, as told to others. */
  get lagMs(): number {
    return this.#health.lagMs(this.#now);
  }

  get lastHeardAny(): number {
    return this.#lastHeardAny;
  }

  // Inputs.

  #onSubjects(subjects: readonly Subject[]): void {
    const wanted = new Set(subjects.map(({ id }) => id));
    for (const [id, watch] of this.#watches) {
      if (wanted.has(id)) continue;
      this.#watches.delete(id);
      if (watch.status !== 'ok') this.#emit({ type: 'suspect', peer: id, on: false });
    }
    for (const subject of subjects) {
      const watch = this.#watches.get(subject.id);
      if (watch !== undefined) watch.subject = subject;
      else this.#watches.set(subject.id, newWatch(subject, this.#connected.has(subject.id), this.#now));
    }
  }

  #onConnected(peer: NodeId): void {
    this.#connected.add(peer);
    const watch = this.#watches.get(peer);
    if (watch !== undefined) {
      watch.linked = true;
      watch.everLinked = true;
      watch.dialling = false;
      watch.nextAt = nextTurn(watch.subject, this.#now);
    }
    this.#heard(peer);
  }

  #onDisconnected(peer: NodeId): void {
    this.#connected.delete(peer);
    const watch = this.#watches.get(peer);
    if (watch === undefined || !watch.linked) return;
    watch.linked = false;
    watch.awaiting = false;
    watch.refusals = 0;
    if (watch.status === 'accused') return;
    watch.nextAt = this.#now;
  }

  #onDialFailed(peer: NodeId, refused: boolean): void {
    const watch = this.#watches.get(peer);
    if (watch === undefined || watch.linked || !watch.dialling) return;
    watch.dialling = false;
    watch.silentSince ??= this.#now;
    watch.misses += 1;
    if (refused) watch.refusals += 1;
    if (watch.status === 'accused') {
      watch.nextAt = this.#now + this.#backoff(watch);
      return;
    }
    const flapping = watch.flaps >= maxFlaps && this.#now - watch.flapAt <= flapMemoryMs;
    if (watch.everLinked && watch.refusals >= 2 && !flapping) {
      this.#accuse(watch, 'connection-reset', `connection lost and ${watch.refusals} re-dials refused`);
      return;
    }
    if (watch.everLinked || watch.misses >= 2) this.#suspect(watch);
    const soon = refused && watch.everLinked && watch.refusals === 1;
    watch.nextAt = this.#now + (soon ? this.timings.redialDelayMs : this.timings.retryMs);
  }

  #onFrame(peer: NodeId, frame: PeerFrame): void {
    if (frame.type === 'ack') this.#measure(peer, frame.seq);
    this.#heard(peer);
    switch (frame.type) {
      case 'probe':
        this.#rememberPeerLag(peer, frame.lagMs);
        // The digest is the driver's to add: it belongs to replication.
        this.#emit({ type: 'send', to: peer, frame: { type: 'ack', seq: frame.seq, lagMs: this.lagMs } });
        break;
      case 'ack':
        this.#rememberPeerLag(peer, frame.lagMs);
        this.#onAck(peer, frame.seq);
        break;
      case 'ping-req':
        this.#onPingRequest(peer, frame.seq, frame.target);
        break;
      case 'ping-reply':
        this.#onPingReply(peer, frame.seq, frame.ok);
        break;
    }
  }

  /**
   * A round-trip time, once per silence and bounded: after a stop all its answers come together, and would
   * else make the next stop harder to notice.
   */
  #measure(peer: NodeId, seq: number): void {
    const probe = this.#probes.get(seq);
    const watch = this.#watches.get(peer);
    if (probe?.to !== peer || watch === undefined) return;
    const most = 2 * usualTimeoutMs(watch, this.timings);
    observeRtt(watch, Math.min(most, this.#now - probe.at));
  }

  #onAck(peer: NodeId, seq: number): void {
    if (this.#probes.get(seq)?.to === peer) this.#probes.delete(seq);
    const relay = this.#indirect.takeRelay(seq, peer);
    if (relay === undefined) return;
    this.#emit({ type: 'send', to: relay.asker, frame: { type: 'ping-reply', seq: relay.seq, ok: true } });
  }

  /** Somebody misses `target` and asks us to probe it at once; if we observe it too, that is our own probe as well. */
  #onPingRequest(asker: NodeId, seq: number, target: NodeId | undefined): void {
    if (target === undefined || !this.#connected.has(target) || this.#indirect.full) {
      this.#emit({ type: 'send', to: asker, frame: { type: 'ping-reply', seq, ok: false } });
      return;
    }
    const watch = this.#watches.get(target);
    const ours = watch?.linked === true ? this.#probe(watch) : this.#sendProbe(target);
    this.#indirect.relay(ours, { asker, target, seq, until: this.#now + 2 * this.timings.minTimeoutMs });
  }

  #onPingReply(helper: NodeId, seq: number, ok: boolean): void {
    const target = this.#indirect.takeReply(seq, helper);
    const watch = target === undefined ? undefined : this.#watches.get(target);
    if (watch?.silentSince === undefined) return;
    if (!ok) {
      watch.helpersFailed += 1;
      return;
    }
    watch.affirmers.add(helper);
    watch.affirmedAt = this.#now;
  }

  #onRefuted(peer: NodeId): void {
    const watch = this.#watches.get(peer);
    if (watch === undefined) return;
    this.#absolve(watch);
    watch.refutations += 1;
    // It lives, so a refused dial says nothing any more about the end of its process.
    if (!watch.linked) watch.everLinked = false;
    if (!watch.dialling) watch.nextAt = this.#now;
  }

  #onRecheck(): void {
    for (const watch of this.#watches.values()) {
      if (watch.status !== 'accused') continue;
      watch.status = 'suspect';
      clearSilence(watch);
      if (!watch.dialling) watch.nextAt = this.#now;
    }
  }

  // Time.

  /** This process stood still: whoever seems silent may have answered all the time. Ask again, and count from now. */
  #voidTimings(now: number): void {
    for (const watch of this.#watches.values()) {
      if (watch.status === 'accused' || watch.silentSince === undefined) continue;
      clearSilence(watch);
      watch.nextAt = now;
    }
    this.#indirect.clearRelays();
  }

  #rememberPeerLag(peer: NodeId, lagMs: number): void {
    const watch = this.#watches.get(peer);
    if (watch === undefined) return;
    watch.lagMs = lagMs;
    watch.lagAt = this.#now;
  }

  #advance(watch: Watch): void {
    if (watch.linked) {
      if (watch.nextAt <= this.#now) {
        if (watch.awaiting) this.#onMiss(watch);
        this.#probe(watch);
      }
    } else if (!watch.dialling && watch.nextAt <= this.#now) {
      watch.dialling = true;
      watch.silentSince ??= this.#now;
      this.#emit({ type: 'dial', peer: watch.subject.id });
    }
    if (askAt(watch) <= this.#now) this.#askHelpers(watch);
    if (this.#verdictAt(watch) > this.#now) return;
    if (watch.misses < (watch.linked ? minMisses : minFailedDials)) return;
    this.#accuse(watch, 'missed-probes', this.#describe(watch));
  }

  #onMiss(watch: Watch): void {
    watch.misses += 1;
    if (watch.status === 'accused') return;
    if (watch.misses >= 2) this.#suspect(watch);
  }

  /** Sends a probe to a linked subject and starts its time-out. */
  #probe(watch: Watch): number {
    const seq = this.#sendProbe(watch.subject.id);
    if (!watch.awaiting) watch.awaiting = true;
    watch.silentSince ??= this.#now;
    watch.nextAt = this.#now + this.#probeInterval(watch);
    return seq;
  }

  #probeInterval(watch: Watch): number {
    if (watch.status === 'accused') return this.#backoff(watch);
    const timeout = probeTimeoutMs(watch, this.timings, this.health, this.#now);
    if (watch.misses === 0) return timeout;
    const slow = watch.affirmers.size > 0 && watch.misses > 10;
    // Others reach it and we do not: that may stay so for hours, and needs no haste.
    return Math.max(timeout, slow ? watch.subject.periodMs : this.timings.retryMs);
  }

  #sendProbe(to: NodeId): number {
    const seq = this.#nextSeq();
    remember(this.#probes, seq, { to, at: this.#now }, maxPending);
    this.#emit({ type: 'send', to, frame: { type: 'probe', seq, lagMs: this.lagMs } });
    return seq;
  }

  #askHelpers(watch: Watch): void {
    const target = watch.subject.id;
    const others = [...this.#watches.keys()].filter((id) => id !== target && !watch.subject.helpers.includes(id));
    const candidates = [...watch.subject.helpers, ...others];
    const linked = candidates.filter((id) => this.#connected.has(id));
    // Each round asks others, since a silent helper may share the fault.
    const first = linked.length > helperCount ? watch.rounds % linked.length : 0;
    watch.rounds += 1;
    watch.askedAt = this.#now;
    for (const helper of [...linked.slice(first), ...linked.slice(0, first)].slice(0, helperCount)) {
      const seq = this.#nextSeq();
      this.#indirect.asked(seq, helper, target);
      this.#emit({ type: 'send', to: helper, frame: { type: 'ping-req', seq, target } });
    }
    if (watch.misses < minMisses || watch.helpersDialled) return;
    watch.helpersDialled = true;
    // Only those who observe it are sure to have a link with it; reach for two of them before accusing.
    const unlinked = watch.subject.helpers.filter((id) => !this.#connected.has(id) && !this.#watches.has(id));
    for (const peer of unlinked.slice(0, 2)) this.#emit({ type: 'dial', peer });
  }

  #expireRelays(): void {
    for (const relay of this.#indirect.takeExpired(this.#now)) {
      this.#emit({ type: 'send', to: relay.asker, frame: { type: 'ping-reply', seq: relay.seq, ok: false } });
    }
  }

  // Judgement.

  #heard(peer: NodeId): void {
    this.#lastHeardAny = this.#now;
    const watch = this.#watches.get(peer);
    if (watch === undefined || !this.hearingIsNews(peer)) return;
    this.#absolve(watch);
    watch.refutations = 0;
    if (watch.linked) watch.nextAt = nextTurn(watch.subject, this.#now);
  }

  /** Takes back whatever was said against it, and forgets its silence. */
  #absolve(watch: Watch): void {
    const peer = watch.subject.id;
    if (watch.status !== 'ok') this.#emit({ type: 'suspect', peer, on: false });
    if (watch.standing) {
      countFlap(watch, this.#now);
      this.#emit({ type: 'retract', peer });
    }
    watch.standing = false;
    watch.status = 'ok';
    if (watch.misses > 0) this.#forgetProbes(peer);
    clearSilence(watch);
  }

  /** The answers to missed probes may still come, all together after a stop, and say nothing of the link. */
  #forgetProbes(peer: NodeId): void {
    for (const [seq, { to }] of this.#probes) if (to === peer) this.#probes.delete(seq);
  }

  /** When the silence becomes an accusation; infinite while there is none, or others reach the subject. */
  #verdictAt(watch: Watch): number {
    if (watch.silentSince === undefined || watch.status === 'accused') return Number.POSITIVE_INFINITY;
    const limit = silenceLimitMs(watch, this.timings, this.health, this.#now);
    const from = Math.max(watch.silentSince, watch.affirmedAt);
    // Hearing nothing from anybody else either, the fault is more likely here.
    const alone = this.#watches.size >= 2 && this.#lastHeardAny <= watch.silentSince;
    const at = from + (alone ? 2 * limit : limit);
    // One helper may lie to shield a dead subject, so its word alone does not count for ever.
    return watch.affirmers.size >= 2 ? at : Math.min(at, watch.silentSince + loneHelperFactor * limit);
  }

  #suspect(watch: Watch): void {
    if (watch.status !== 'ok') return;
    watch.status = 'suspect';
    this.#emit({ type: 'suspect', peer: watch.subject.id, on: true });
  }

  #accuse(watch: Watch, evidence: Evidence, detail: string): void {
    this.#suspect(watch);
    watch.status = 'accused';
    watch.standing = true;
    this.#emit({ type: 'accuse', peer: watch.subject.id, evidence, detail });
    if (!watch.dialling) watch.nextAt = this.#now + this.#backoff(watch);
  }

  #describe(watch: Watch): string {
    const seconds = ((this.#now - (watch.silentSince ?? this.#now)) / 1_000).toFixed(1);
    const attempts = watch.linked ? `${watch.misses} probes unanswered` : `${watch.misses} dials failed, no connection`;
    const helpers = watch.helpersFailed > 0 ? `; ${watch.helpersFailed} indirect probes failed` : '';
    const lone = watch.affirmers.size > 0 ? '; a single other node claims that it answers' : '';
    return `${attempts} for ${seconds} s${helpers}${lone}`;
  }

  #backoff(watch: Watch): number {
    watch.backoffMs = Math.min(this.timings.maxBackoffMs, Math.max(2 * this.timings.retryMs, watch.backoffMs * 2));
    return watch.backoffMs;
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }

  #emit(effect: DetectorEffect): void {
    this.#effects.push(effect);
  }
}

/** When the next round of indirect probes is due: about every second, from the first miss to the accusation. */
function askAt(watch: Watch): number {
  if (watch.silentSince === undefined || watch.status === 'accused' || watch.misses === 0)
    return Number.POSITIVE_INFINITY;
  return watch.askedAt + askIntervalMs;
}
