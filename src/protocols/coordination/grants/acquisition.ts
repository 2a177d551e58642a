/**
 * Asking for a grant, from the first command until it is held or certainly not wanted any more.
 *
 * One id is one place in line. While its outcome is unknown the same id is asked for again; when the place turns out to be over (the
 * validators were away for longer than a waiter stays), a new id begins at the end of the line. Whoever leaves without the grant withdraws
 * its id, also when it does not know whether the id arrived.
 */
import * as v from 'valibot';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { Answer } from '../machine/reducer.ts';
import type { OrderingOptions } from '../ordering.ts';
import type { CoordinationTools } from '../tools.ts';
import { waitUntil } from '../waiting.ts';
import { type AcquireCommand, grantEvent, maxWaitMs, type Standing, standing, topicOf } from './commands.ts';
import { type KnownHolder, refusalError, timedOut, understood } from './grant-errors.ts';
import { isOver, type Lease, leaseFromNow } from './lease.ts';
import { mayPass, pause, pauseMs } from './pause.ts';

export interface Wanted extends Pick<AcquireCommand, 'name' | 'sort' | 'permits' | 'count' | 'leaseMs' | 'value'> {
  /** False: now or not at all. */
  readonly wait: boolean;
  /** Undefined: for as long as `signal` allows. */
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

export interface Acquired {
  readonly id: string;
  readonly token: number;
  readonly lease: Lease;
}

/** A waiter that says nothing for this long is taken for dead. A guess; the line is not held up by it for longer. */
const waiterMs = 30_000;

export class Acquisition {
  readonly #tools: CoordinationTools;
  readonly #wanted: Wanted;
  /** On the steady clock. */
  readonly #deadline: number;
  #holder: KnownHolder | undefined;

  constructor(tools: CoordinationTools, wanted: Wanted) {
    this.#tools = tools;
    this.#wanted = wanted;
    this.#deadline = tools.clock.now() + (wanted.timeoutMs ?? Number.POSITIVE_INFINITY);
  }

  async run(): Promise<Acquired> {
    for (;;) {
      const id = Buffer.from(this.#tools.rng.bytes(16)).toString('hex');
      const place = new Place(this.#tools, id);
      try {
        const acquired = await this.#attempt(place);
        if (acquired !== undefined && !isOver(acquired.lease, this.#tools.clock)) return acquired;
        // Over before the answer came, or taken from us while we waited: from the end of the line again.
        place.leave();
      } catch (error) {
        place.leave();
        throw error;
      }
    }
  }

  /** Undefined: this place in line is over. */
  async #attempt(place: Place): Promise<Acquired | undefined> {
    const { clock } = this.#tools;
    const lease = leaseFromNow(clock, this.#wanted.leaseMs);
    let state = await this.#insist((timeoutMs) => this.#ask(place, timeoutMs));
    // Granted by the only command that was sent: the lease began after `lease` was counted from.
    if (state.state === 'granted' && place.asked === 1) return { id: place.id, token: state.token, lease };
    if (state.state === 'waiting') state = await this.#turn(place);
    if (state.state !== 'granted') return undefined;
    const { token } = state;
    // It may have been granted some time ago, and for a short time only until we say that we know.
    return this.#confirm(async (timeoutMs) => {
      const confirmed = leaseFromNow(clock, this.#wanted.leaseMs);
      const answer = await this.#tools.client.submit(
        { kind: 'grant.renew', id: place.id, token },
        { signal: this.#wanted.signal, timeoutMs },
      );
      if (answer.ok) return { id: place.id, token, lease: confirmed };
      if (answer.code === 'GRANT_LOST') return undefined;
      throw refusalError(this.#wanted.name, answer);
    });
  }

  /** As `#insist`, for what was granted already: that the confirmation was never sent does not mean that nothing was granted. */
  async #confirm<T>(attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
    try {
      return await this.#insist(attempt);
    } catch (error) {
      if (!isQuorateError(error, 'NO_QUORUM')) throw error;
      const { name } = this.#wanted;
      const why = `'${name}' was granted, and could not be confirmed in time: ${error.message} It is given back, or ends with its lease.`;
      throw new QuorateError('UNKNOWN_OUTCOME', why, { ...error.data, name, reason: 'unconfirmed' }, { cause: error });
    }
  }

  /** Asks for a place, or says again that we wait. */
  async #ask(place: Place, timeoutMs: number, signal = this.#wanted.signal): Promise<Standing> {
    const { name, sort, permits, count, leaseMs, value, wait } = this.#wanted;
    const waitMs = wait ? Math.ceil(Math.min(maxWaitMs, waiterMs, this.#leftMs() * 1.1 + 1_000)) : 0;
    const command = { kind: 'grant.acquire', name, id: place.id, sort, permits, count, leaseMs, waitMs, value };
    const answer = await place.ask(command, { signal, timeoutMs });
    if (!answer.ok) throw refusalError(name, answer);
    return this.#heard(understood(standing, answer.value));
  }

  /** Waits until this place is granted, or over. */
  #turn(place: Place): Promise<Standing> {
    const { clock, self, timeoutMs: patienceMs } = this.#tools;
    const { name, signal, timeoutMs } = this.#wanted;
    let saidAt = clock.now();
    return waitUntil<Standing>(this.#tools, {
      topic: topicOf(name),
      signal,
      timeoutMs: timeoutMs === undefined ? undefined : this.#leftMs(),
      timedOut: () => this.#timedOut(),
      fromEvent: (payload) => {
        const event = v.safeParse(grantEvent, payload);
        if (!event.success || event.output.type === 'vacant') return undefined;
        const { type, node, id } = event.output;
        if (node !== self || id !== place.id) return undefined;
        return type === 'granted'
          ? { state: 'granted', token: event.output.token }
          : { state: 'ended', how: 'expired' };
      },
      read: async (over) => {
        const now = clock.now();
        const isDue = now - saidAt >= waiterMs / 3;
        if (isDue) saidAt = now;
        const state = isDue ? await this.#ask(place, patienceMs, over) : await this.#look(place, over);
        // Not known: a read from before we came, or it was long ago; saying again that we wait mends that.
        return state.state === 'waiting' || state.state === 'unknown' ? undefined : state;
      },
    });
  }

  async #look(place: Place, signal: AbortSignal): Promise<Standing> {
    const { client, self } = this.#tools;
    const answer = await client.query({ kind: 'grant.standing', node: self, id: place.id }, { signal });
    if (!answer.ok) throw refusalError(this.#wanted.name, answer);
    return this.#heard(understood(standing, answer.value));
  }

  #heard(state: Standing): Standing {
    if (state.state === 'waiting') this.#holder = state.holder;
    return state;
  }

  /**
   * Tries until it is answered or the time is over. Then it throws what ordering said, which is more than that time ran
   * out; and if one of the tries may have been ordered, that it may, whatever the last one says.
   */
  async #insist<T>(attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#tools;
    let unknown: unknown;
    for (let tries = 0; ; tries++) {
      this.#wanted.signal.throwIfAborted();
      const leftMs = this.#leftMs();
      if (leftMs <= 0) throw unknown ?? this.#timedOut();
      try {
        return await attempt(Math.max(1, Math.min(leftMs, timeoutMs)));
      } catch (error) {
        if (!mayPass(error)) throw error;
        if (isQuorateError(error, 'UNKNOWN_OUTCOME')) unknown = error;
        const nextPauseMs = pauseMs(tries);
        if (this.#leftMs() <= nextPauseMs) throw unknown ?? error;
        await pause(clock, nextPauseMs, this.#wanted.signal);
      }
    }
  }

  #timedOut(): Error {
    return timedOut(this.#wanted.name, this.#wanted.timeoutMs ?? 0, this.#holder);
  }

  #leftMs(): number {
    return this.#deadline - this.#tools.clock.now();
  }
}

/** A place in line, under its id. */
class Place {
  readonly id: string;
  /** How often it was asked for. */
  asked = 0;
  /** How many of these may have been, or may yet be, ordered and taken. */
  #open = 0;
  readonly #tools: CoordinationTools;

  constructor(tools: CoordinationTools, id: string) {
    this.#tools = tools;
    this.id = id;
  }

  async ask(command: { readonly kind: string }, options: OrderingOptions): Promise<Answer> {
    this.asked += 1;
    this.#open += 1;
    try {
      const answer = await this.#tools.client.submit(command, options);
      if (!answer.ok) this.#open -= 1;
      return answer;
    } catch (error) {
      if (isQuorateError(error, 'NO_QUORUM') || isQuorateError(error, 'NO_VALIDATORS')) this.#open -= 1;
      throw error;
    }
  }

  /** In the background: who waited for it has gone. Left alone it ends by itself, after its wait or its lease. */
  leave(): void {
    if (this.#open > 0) void this.#withdraw();
  }

  async #withdraw(): Promise<void> {
    const { client, clock, onError } = this.#tools;
    const until = clock.now() + waiterMs;
    for (let attempt = 0; clock.now() < until; attempt++) {
      try {
        await client.submit({ kind: 'grant.withdraw', id: this.id }, { timeoutMs: until - clock.now() });
        return;
      } catch (error) {
        if (isQuorateError(error, 'STOPPED')) return; // Nobody is left here to tell; it ends by itself.
        if (!mayPass(error)) return onError(error, 'withdrawing from a line');
        await pause(clock, pauseMs(attempt), undefined);
      }
    }
  }
}
