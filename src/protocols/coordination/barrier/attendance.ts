/**
 * One participant at one barrier, from its arrival to the end of a generation.
 *
 * Intuition: the state of the group decides, this only keeps asking. An arrival is a try with a number; telling it twice, by two ways, or after
 * the reply was lost, counts once. While it stands it is renewed. When it lapsed (this process stood still) and the generation goes on, it comes
 * again with a higher number. Whoever gives up takes back every try so far, also those still on their way.
 *
 * By way of the zone nothing is believed but what is certified or asked: if the aggregator is slow, gone or lying, the participant finds out at its next renewal
 * at the latest, and tells the validators itself.
 */
import { QuorateError } from '../../../errors.ts';
import type { CoordinationTools } from '../tools.ts';
import { Bell } from './bell.ts';
import { type GenerationRef, maxReports, type Outcome } from './commands.ts';
import type { GroupClient, Standing } from './group-client.ts';
import type { KnownBarrier } from './known-barrier.ts';
import type { ZoneParticipant } from './zone-participant.ts';

/** Before another try after a reply was lost, milliseconds. */
const retryMs = 50;
/** How long one that gives up waits for the word that its arrival is taken back, milliseconds. */
const withdrawMs = 1_000;

export interface AttendanceParts {
  readonly tools: CoordinationTools;
  readonly group: GroupClient;
  readonly barrier: KnownBarrier;
  /** Undefined for a flat barrier. */
  readonly zone: ZoneParticipant | undefined;
  readonly as: string;
  readonly nextAttempt: (above: number) => number;
  readonly onDirect: () => void;
}

interface Place {
  at: GenerationRef;
  attempt: number;
}

export class Attendance {
  readonly #parts: AttendanceParts;
  readonly #over = new AbortController();
  readonly #place: Place;
  /** The group may hold an arrival of ours. */
  #mayStand = false;

  constructor(parts: AttendanceParts) {
    this.#parts = parts;
    this.#place = { at: parts.barrier.at, attempt: parts.nextAttempt(0) };
  }

  /** How the generation ended. */
  async run(timeoutMs: number, signal: AbortSignal | undefined): Promise<Outcome> {
    signal?.throwIfAborted();
    const { barrier, as, tools } = this.#parts;
    const timedOut = new QuorateError(
      'TIMED_OUT',
      `The barrier '${barrier.id}' did not open for '${as}' within ${timeoutMs} ms. Wait longer, or look at status() who is missing.`,
      { name: barrier.id, afterMs: timeoutMs },
    );
    const timer = tools.clock.after(timeoutMs, () => this.#over.abort(timedOut));
    const onAbort = (): void => this.#over.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const outcome = await this.#attend();
      barrier.after(this.#place.at);
      return outcome;
    } catch (error) {
      // What fails because the time was over is a consequence of that.
      const reason: unknown = this.#over.signal.aborted ? this.#over.signal.reason : error;
      return await this.#giveUp(reason, reason === timedOut ? timedOut : undefined);
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
      this.#over.abort();
    }
  }

  async #attend(): Promise<Outcome> {
    for (;;) {
      const outcome = (await this.#throughZone()) ?? (await this.#direct());
      if (outcome !== undefined) return outcome;
      this.#place.attempt = this.#parts.nextAttempt(this.#place.attempt);
    }
  }

  /** Undefined: the participant has to do it itself. */
  async #throughZone(): Promise<Outcome | undefined> {
    const { zone, barrier, as } = this.#parts;
    if (zone === undefined) return undefined;
    this.#mayStand = true;
    const relayed = await zone.arrive({ ...this.#place, as }, barrier, this.#over.signal);
    if (relayed === undefined) return undefined;
    try {
      for (;;) {
        const heard = await relayed.bell.next(barrier.renewMs, this.#over.signal);
        if (heard === 'alone') return undefined;
        if (heard !== undefined) return heard;
        const standing = await this.#renew();
        // It should have told them long ago, or us.
        if (standing?.state === 'absent') zone.distrust(relayed.by);
        if (standing?.state === 'over') zone.doubt(relayed.by);
        const outcome = this.#outcomeOf(standing);
        if (outcome !== undefined) return outcome;
        if (standing?.state !== 'gathering' || !zone.isAggregator(relayed.by)) return undefined;
      }
    } finally {
      relayed.end();
    }
  }

  /** Undefined: the arrival lapsed; come again. */
  async #direct(): Promise<Outcome | undefined> {
    const { group, barrier } = this.#parts;
    const bell = new Bell<Outcome | 'look'>(this.#parts.tools.clock);
    // Heard before it is told, so that no opening falls between the two. The epoch may change while it is told.
    const hear = (): (() => void) =>
      group.hear(
        this.#place.at,
        (outcome) => bell.ring(outcome),
        () => bell.ring('look'),
      );
    let heardOf = this.#place.at.epoch;
    let unsubscribe = hear();
    try {
      let standing: Standing | undefined = await this.#tell(() => {
        if (heardOf === this.#place.at.epoch) return;
        heardOf = this.#place.at.epoch;
        unsubscribe();
        unsubscribe = hear();
      });
      for (;;) {
        const outcome = this.#outcomeOf(standing);
        if (outcome !== undefined) return outcome;
        if (standing?.state === 'absent') return undefined;
        const heard = await bell.next(barrier.renewMs, this.#over.signal);
        if (typeof heard === 'object') {
          if (heard.generation === this.#place.at.generation) return heard;
          continue;
        }
        standing = await this.#renew();
      }
    } finally {
      unsubscribe();
    }
  }

  /** Tells the validators until they have answered. */
  async #tell(onPlaceChanged: () => void): Promise<Standing> {
    const { group, barrier, as, tools } = this.#parts;
    this.#parts.onDirect();
    for (;;) {
      const before = this.#mayStand;
      this.#mayStand = true;
      const arrival = { at: this.#place.at, attempt: this.#place.attempt, as, zone: tools.zone };
      const answer = await group.arrive(arrival, { signal: this.#over.signal }).catch((error: unknown) => {
        // It may have run: the same try again finds out.
        if (error instanceof QuorateError && error.code === 'UNKNOWN_OUTCOME') return undefined;
        this.#mayStand = before || this.#over.signal.aborted;
        throw error;
      });
      if (answer === undefined) {
        await new Bell(tools.clock).next(retryMs, this.#over.signal);
      } else if (answer.state === 'other-generation') {
        barrier.begin(answer.generation);
        this.#place.at = barrier.at;
      } else if (answer.state === 'old-attempt') {
        this.#place.attempt = this.#parts.nextAttempt(answer.attempt);
      } else if (answer.state === 'unknown-barrier') {
        await barrier.reopen({ signal: this.#over.signal });
        this.#place.at = barrier.at;
        onPlaceChanged();
      } else return answer;
    }
  }

  /** Undefined when nobody answered; the next renewal may mend that. */
  async #renew(): Promise<Standing | undefined> {
    const { group, barrier, as } = this.#parts;
    const lost = barrier.vanished().slice(0, maxReports);
    try {
      return await group.renew({ ...this.#place, as, lost }, { signal: this.#over.signal, timeoutMs: barrier.renewMs });
    } catch (error) {
      this.#over.signal.throwIfAborted();
      if (error instanceof QuorateError && passing.has(error.code)) return undefined;
      throw error;
    }
  }

  #outcomeOf(standing: Standing | undefined): Outcome | undefined {
    if (standing?.state === 'over') return standing.outcome;
    if (standing?.state !== 'forgotten') return undefined;
    const { id } = this.#parts.barrier;
    const { generation } = this.#place.at;
    throw new QuorateError(
      'UNKNOWN_OUTCOME',
      `Generation ${generation} of the barrier '${id}' ended while this process did not look, so long ago that nobody knows how. Look at status(), and arrive again.`,
      { name: id, generation },
    );
  }

  /** Takes everything back. If the generation ended before that, its end counts, and not the giving up. */
  async #giveUp(reason: unknown, timedOut: QuorateError | undefined): Promise<Outcome> {
    if (!this.#mayStand) throw reason;
    const withdrawal = this.#withdraw();
    // Whoever aborts wants to be gone; the withdrawal goes on by itself.
    if (timedOut === undefined) throw reason;
    const standing = await withdrawal;
    if (standing?.state === 'over') {
      this.#parts.barrier.after(this.#place.at);
      return standing.outcome;
    }
    throw new QuorateError(timedOut.code, timedOut.message, {
      ...timedOut.data,
      withdrawn: standing !== undefined,
    });
  }

  async #withdraw(): Promise<Standing | undefined> {
    const { group, as, tools } = this.#parts;
    try {
      return await group.withdraw({ ...this.#place, as }, { timeoutMs: Math.min(withdrawMs, tools.timeoutMs) });
    } catch (error) {
      // The arrival ends with its lease, which nobody renews any more.
      if (!(error instanceof QuorateError)) tools.onError(error, 'withdrawing from a barrier');
      return undefined;
    }
  }
}

/** Errors of a renewal that the next may mend. */
const passing: ReadonlySet<string> = new Set(['NO_QUORUM', 'NO_VALIDATORS', 'UNKNOWN_OUTCOME', 'REJECTED']);
