/** How much one peer may ask of a validator that costs it something, so that no flood of one starves the others. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import { messageNumbers } from '../../pbft/messages.ts';
import type { GroupFrame } from './frames.ts';

/** Messages per second in the long run, and at once. */
interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Each costs a signature check of 0.1 ms: a flooding client gets a fifth of a core. Bundles of many commands count once. */
const requests: Rate = { perSecond: 2_000, burst: 4_000 };
/** Answers to these are larger than the question. A transfer of 256 MB in parts asks 4,096 times. */
const fetches: Rate = { perSecond: 2_000, burst: 4_096 };
/** Nobody needs more than ten a second. */
const statuses: Rate = { perSecond: 200, burst: 400 };
const reads: Rate = { perSecond: 50_000, burst: 50_000 };

const messageRates = new Map<number, Rate>([
  [messageNumbers.request, requests],
  [messageNumbers.fetchBatch, fetches],
  [messageNumbers.fetchState, fetches],
  [messageNumbers.status, statuses],
  [messageNumbers.read, reads],
]);

/** Asked once for each connection; the answer may have a megabyte, and checking it takes a while. */
const introductions: Rate = { perSecond: 1, burst: 8 };
/** Each makes every subscriber of this node read. */
const gaps: Rate = { perSecond: 1, burst: 4 };
/** Each costs a signature of 30 µs. */
const certificates: Rate = { perSecond: 500, burst: 1_000 };
const subscriptions: Rate = { perSecond: 5_000, burst: 10_000 };

const frameRates = new Map<GroupFrame['type'], Rate>([
  ['which', introductions],
  ['group', introductions],
  ['gap', gaps],
  ['certify', certificates],
  ['health', statuses],
  ['subscribe', subscriptions],
  ['unsubscribe', subscriptions],
]);

interface Bucket {
  left: number;
  at: number;
}

export class InboundBudget {
  readonly #clock: Clock;
  readonly #buckets = new LRUCache<string, Bucket>({ max: 8_192 });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more message of the agreement with this number is taken from the peer now. */
  allowsMessage(peer: NodeId, number: number): boolean {
    return this.#allows(peer, `${number}`, messageRates.get(number));
  }

  /** The peer's last message of this number was worth nothing, and counts for many. */
  charge(peer: NodeId, number: number, more: number): void {
    const bucket = this.#buckets.get(`${number}/${peer}`);
    if (bucket !== undefined) bucket.left = Math.max(0, bucket.left - more);
  }

  allowsFrame(peer: NodeId, type: GroupFrame['type']): boolean {
    return this.#allows(peer, type, frameRates.get(type));
  }

  #allows(peer: NodeId, kind: string, rate: Rate | undefined): boolean {
    if (rate === undefined) return true;
    const now = this.#clock.now();
    const key = `${kind}/${peer}`;
    const bucket = this.#buckets.get(key) ?? { left: rate.burst, at: now };
    const left = Math.min(rate.burst, bucket.left + ((now - bucket.at) / 1_000) * rate.perSecond);
    bucket.at = now;
    bucket.left = left >= 1 ? left - 1 : left;
    this.#buckets.set(key, bucket);
    return left >= 1;
  }
}
