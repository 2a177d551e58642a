/** Broadcast of one simulated node: flooding over its connections, as gossipsub looks from outside. */
import { createHash } from 'node:crypto';
import type { Clock, Rng } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { NetworkCounters, Verdict } from '../network.ts';
import { misbehaviourBanMs, Reputation } from '../reputation.ts';
import type { Surroundings } from './medium.ts';

type Validator = (data: Uint8Array, from: NodeId) => Verdict | Promise<Verdict>;

interface Topic {
  readonly maxBytes: number;
  readonly validate: Validator;
  /** Message hash → virtual time it was first seen. */
  readonly seen: Map<string, number>;
}

/** A connected neighbour, and how a message gets to it. */
export interface Neighbour {
  readonly peer: NodeId;
  /** Runs `deliver` at the neighbour with its own flood, after so many one-way delays, in no order. */
  transmit(deliver: (flood: Flood) => void, delays: number): void;
}

export interface FloodPort {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly faults: Surroundings<unknown>['options'];
  readonly counters: NetworkCounters;
  neighbours(): Iterable<Neighbour>;
  /** False once the node has stopped or died. */
  isRunning(): boolean;
  isConnected(peer: NodeId): boolean;
  ban(peer: NodeId, forMs: number, reason: string): void;
  reportError(error: unknown, where: string): void;
}

const seenForMs = 120_000;
const maxSeen = 100_000;

export class Flood {
  readonly #port: FloodPort;
  readonly #topics = new Map<string, Topic>();
  readonly #reputation: Reputation;

  constructor(port: FloodPort) {
    this.#port = port;
    this.#reputation = new Reputation(port.clock);
  }

  subscribe(topic: string, maxBytes: number, validate: Validator): void {
    this.#topics.set(topic, { maxBytes, validate, seen: new Map() });
  }

  publish(topic: string, data: Uint8Array): void {
    const state = this.#topics.get(topic);
    if (state === undefined) throw new Error(`publish: this node is not subscribed to ${topic}`);
    if (data.length > state.maxBytes) {
      throw new QuorateError(
        'PAYLOAD_TOO_LARGE',
        `A message of ${data.length} bytes is over the limit of ${state.maxBytes} of ${topic}. Send it in pieces.`,
        { topic, length: data.length, maxBytes: state.maxBytes },
      );
    }
    const copy = new Uint8Array(data);
    if (this.#markSeen(state, copy)) this.#pass(topic, copy, undefined);
  }

  #pass(topic: string, data: Uint8Array, except: NodeId | undefined): void {
    const { self, rng, faults, counters } = this.#port;
    for (const neighbour of this.#port.neighbours()) {
      if (neighbour.peer === except) continue;
      counters.bytesSent += data.length;
      const copies = rng.float() < faults.broadcastDuplication ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        if (rng.float() < faults.broadcastLoss) continue;
        const delays = rng.float() < faults.broadcastReordering ? 1 + rng.below(20) : 1;
        neighbour.transmit((flood) => void flood.#receive(topic, data, self), delays);
      }
    }
  }

  async #receive(topic: string, data: Uint8Array, from: NodeId): Promise<void> {
    const port = this.#port;
    const state = this.#topics.get(topic);
    if (!port.isRunning() || state === undefined || !port.isConnected(from)) return;
    port.counters.bytesReceived += data.length;
    let verdict: Verdict = 'reject';
    if (data.length <= state.maxBytes) {
      if (!this.#markSeen(state, data)) return;
      try {
        verdict = await state.validate(new Uint8Array(data), from);
      } catch (error) {
        port.reportError(error, `validator of ${topic}`);
        verdict = 'ignore';
      }
    }
    if (!port.isRunning()) return;
    if (verdict === 'accept') this.#pass(topic, data, from);
    if (verdict === 'reject' && this.#reputation.rejected(from)) {
      port.ban(from, misbehaviourBanMs, 'too many rejected messages');
    }
  }

  /** False when the message was seen before. */
  #markSeen(topic: Topic, data: Uint8Array): boolean {
    const now = this.#port.clock.now();
    for (const [old, at] of topic.seen) {
      if (now - at < seenForMs && topic.seen.size < maxSeen) break;
      topic.seen.delete(old);
    }
    const hash = createHash('sha256').update(data).digest('base64');
    if (topic.seen.has(hash)) return false;
    topic.seen.set(hash, now);
    return true;
  }
}
