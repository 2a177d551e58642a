/**
 * Runs a replica on a real disk, clock and network: carries out the effects of the core in the order that effects.ts demands.
 *
 * A message or event leaves only when every record written before it is on disk. Whatever throws in the core, and a disk that fails, ends this replica and nothing
 * else: what it promised stays in its log, and it says no more.
 */
import type { Clock } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Effect, Input, ReplicaEvent } from '../effects.ts';
import { encodeMessage } from '../encoding.ts';
import { isValidator, primaryOf } from '../group.ts';
import type { Message } from '../messages.ts';
import { restore } from '../recovery.ts';
import { step } from '../replica.ts';
import { executedBy, type ReplicaSetup, type ReplicaState } from '../state.ts';
import { isNeeded } from '../triage.ts';
import { type Accepted, inspect, type SignatureClaim, type Verdict } from '../validate.ts';
import { Alarm } from './alarm.ts';
import type { SignatureVerifier } from './verifier.ts';
import type { WriteAheadLog } from './write-ahead-log.ts';

export interface ReplicaDriverParts {
  readonly setup: ReplicaSetup;
  readonly log: WriteAheadLog;
  readonly clock: Clock;
  readonly verifier: SignatureVerifier;
  /** Best effort; what is lost is asked for again. */
  readonly send: (to: NodeId, bytes: Uint8Array) => void;
  /** Something happened, and is as durable as it will be. */
  readonly onEvent: (event: ReplicaEvent) => void;
  readonly onRefused: (from: NodeId, verdict: Verdict | 'overloaded' | 'foreign-request') => void;
  /** The replica has stopped for good. Called once. */
  readonly onFailed: (error: QuorateError) => void;
}

export interface ReplicaStatus {
  readonly epoch: number;
  readonly view: number;
  readonly primary: NodeId;
  /** False while the group changes its view. */
  readonly active: boolean;
  readonly suspecting: boolean;
  readonly executed: number;
  readonly stable: number;
  readonly logBytes: number;
}

/** More signatures than this at once are checked in the thread pool. */
const maxOnThread = 6;
/** Messages of one peer that may wait for a check under way, and their bytes: enough for the largest message and a few more. */
const maxWaiting = 256;
const maxWaitingBytes = 32 << 20;

type Outward = Extract<Effect, { type: 'send' | 'event' }>;

interface WaitingMessages {
  readonly messages: Uint8Array[];
  bytes: number;
}

/** Something that waits for the log up to a position. */
interface Gated {
  readonly needs: number;
  readonly run: () => void;
}

/** Badly signed, it is most likely meant for another group, which somebody named to a client that could not know better. Nobody else can make it say so. */
const isOwnRequest = (from: NodeId, message: Message): boolean => message.type === 'request' && message.client === from;

export class ReplicaDriver {
  readonly #parts: ReplicaDriverParts;
  readonly #state: ReplicaState;
  readonly #alarm: Alarm;
  #running = false;
  /** Position in the log of the last record written. */
  #written: number;
  readonly #gated: Gated[] = [];
  /** Peers whose messages wait for a check in the pool, so that none overtakes another of the same peer. */
  readonly #waiting = new Map<NodeId, WaitingMessages>();
  #handling = false;
  readonly #inputs: Input[] = [];

  /** Restores what the log holds. Throws `DATA_DIR_UNUSABLE`, or what the application throws. */
  constructor(parts: ReplicaDriverParts) {
    this.#parts = parts;
    this.#state = restore(parts.setup, parts.log.recovered);
    this.#written = parts.log.durable;
    this.#alarm = new Alarm(parts.clock, () => {
      if (this.#running) this.#feed({ type: 'wake' });
    });
    parts.log.listen({
      onDurable: () => this.#release(),
      onFailed: (error) => this.#fail(error),
    });
  }

  start(): void {
    this.#running = true;
    this.#feed({ type: 'start' });
  }

  /** Says no more from now on. The log is its owner's to close. */
  stop(): void {
    this.#running = false;
    this.#alarm.cancel();
    this.#gated.length = 0;
    this.#inputs.length = 0;
    this.#waiting.clear();
  }

  /** Bytes from an authenticated peer. Never throws. */
  receive(from: NodeId, bytes: Uint8Array): void {
    if (!this.#running) return;
    const queue = this.#waiting.get(from);
    if (queue === undefined) {
      this.#admit(from, bytes);
    } else if (queue.messages.length < maxWaiting && queue.bytes + bytes.length <= maxWaitingBytes) {
      queue.messages.push(bytes);
      queue.bytes += bytes.length;
    } else {
      this.#parts.onRefused(from, 'overloaded');
    }
  }

  /** The peer is known to be gone: a hint that saves waiting for a time-out, when it is the primary. */
  suspect(peer: NodeId): void {
    const { group, view } = this.#state;
    if (this.#running && primaryOf(group, view) === peer) this.#feed({ type: 'unreachable', peer });
  }

  /** Runs once all that the state now stands on is on disk; never, if this replica stops before. In the order of the calls. */
  whenDurable(run: () => void): void {
    if (this.#gated.length === 0 && this.#parts.log.durable >= this.#written) run();
    else this.#gated.push({ needs: this.#written, run });
  }

  get state(): Readonly<ReplicaState> {
    return this.#state;
  }

  status(): ReplicaStatus {
    const { group, view, active, suspecting, log } = this.#state;
    return {
      epoch: group.epoch,
      view,
      primary: primaryOf(group, view),
      active,
      suspecting,
      executed: executedBy(this.#state),
      stable: log.low,
      logBytes: this.#parts.log.bytes,
    };
  }

  #admit(from: NodeId, bytes: Uint8Array): void {
    const inspected = inspect(bytes, from, this.#state.context);
    if (!inspected.ok) {
      this.#parts.onRefused(from, inspected.verdict);
      return;
    }
    const { accepted, claims } = inspected;
    if (!this.#mayPassOn(from, accepted.message)) {
      this.#parts.onRefused(from, 'not-a-member');
      return;
    }
    if (!isNeeded(this.#state, accepted.message)) return;
    if (claims.length > maxOnThread) void this.#admitLater(from, accepted, claims);
    else if (claims.every((claim) => this.#parts.verifier.verify(claim))) this.#feed({ type: 'message', accepted });
    else this.#parts.onRefused(from, isOwnRequest(from, accepted.message) ? 'foreign-request' : 'bad-signature');
  }

  /**
   * Requests come from their client or from a validator, who took them from it: keys cost nothing, so one peer could otherwise speak for any number of
   * clients, and crowd those of others out of the table of sessions.
   */
  #mayPassOn(from: NodeId, message: Message): boolean {
    if (message.type !== 'request' || message.client === from) return true;
    for (const group of this.#state.context.groups.values()) if (isValidator(group, from)) return true;
    return false;
  }

  async #admitLater(from: NodeId, accepted: Accepted, claims: readonly SignatureClaim[]): Promise<void> {
    const queue: WaitingMessages = { messages: [], bytes: 0 };
    this.#waiting.set(from, queue);
    const good = await this.#parts.verifier.verifyAll(claims);
    if (!this.#running || this.#waiting.get(from) !== queue) return;
    this.#waiting.delete(from);
    if (good) this.#feed({ type: 'message', accepted });
    else this.#parts.onRefused(from, 'bad-signature');
    // One of them may have to wait in turn, and those behind it with it.
    for (const bytes of queue.messages) this.receive(from, bytes);
  }

  /** One input at a time: what an effect brings about at once, as a message to oneself would, comes after it. */
  #feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        const { clock } = this.#parts;
        const now = { monotonicMs: clock.now(), wallMs: clock.wallNow() };
        for (const effect of step(this.#state, next, now)) this.#carryOut(effect);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#handling = false;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'persist':
        this.#written = this.#parts.log.append(effect.record);
        break;
      case 'send':
      case 'event':
        this.whenDurable(() => this.#letOut(effect));
        break;
      case 'wake':
        this.#alarm.set(effect.atMs);
        break;
    }
  }

  #release(): void {
    const { durable } = this.#parts.log;
    for (let first = this.#gated[0]; first !== undefined && first.needs <= durable; first = this.#gated[0]) {
      this.#gated.shift();
      try {
        first.run();
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  #letOut(effect: Outward): void {
    if (!this.#running) return;
    if (effect.type === 'event') {
      this.#parts.onEvent(effect.event);
      return;
    }
    const bytes = encodeMessage(effect.message);
    for (const peer of effect.to) this.#parts.send(peer, bytes);
  }

  #fail(cause: unknown): void {
    if (!this.#running) return;
    this.stop();
    const known = cause instanceof QuorateError ? cause : undefined;
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#parts.onFailed(
      new QuorateError(
        'VALIDATOR_FAILED',
        `The validator of this process has stopped: ${why} It broke no promise, and its log is kept.`,
        { reason: why, ...known?.data, ...(known === undefined ? {} : { code: known.code }) },
        { cause },
      ),
    );
  }
}
