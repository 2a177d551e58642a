/** Indirect probes (SWIM's ping-req): those asked of others, and those done for others. Both bounded. */
import type { NodeId } from '../../node-id.ts';
import { maxRelays } from './timings.ts';

/** Requests remembered to match replies with; the reply to an older one is ignored. */
const maxPending = 256;

interface Relay {
  readonly asker: NodeId;
  readonly target: NodeId;
  /** The asker's number. */
  readonly seq: number;
  readonly until: number;
}

export class IndirectProbes {
  readonly #asked = new Map<number, { readonly helper: NodeId; readonly target: NodeId }>();
  /** By the number of our probe. */
  readonly #relays = new Map<number, Relay>();

  asked(seq: number, helper: NodeId, target: NodeId): void {
    remember(this.#asked, seq, { helper, target }, maxPending);
  }

  /** Whom the request was about, when `helper` is who was asked. */
  takeReply(seq: number, helper: NodeId): NodeId | undefined {
    const asked = this.#asked.get(seq);
    if (asked?.helper !== helper) return undefined;
    this.#asked.delete(seq);
    return asked.target;
  }

  get full(): boolean {
    return this.#relays.size >= maxRelays;
  }

  relay(probeSeq: number, relay: Relay): void {
    this.#relays.set(probeSeq, relay);
  }

  /** What the answer of `target` to our probe is good for. */
  takeRelay(probeSeq: number, target: NodeId): Relay | undefined {
    const relay = this.#relays.get(probeSeq);
    if (relay?.target !== target) return undefined;
    this.#relays.delete(probeSeq);
    return relay;
  }

  /** Removes and returns what was not answered in time. */
  takeExpired(now: number): Relay[] {
    const expired: Relay[] = [];
    for (const [seq, relay] of this.#relays) {
      if (relay.until > now) continue;
      this.#relays.delete(seq);
      expired.push(relay);
    }
    return expired;
  }

  nextExpiry(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const relay of this.#relays.values()) at = Math.min(at, relay.until);
    return at;
  }

  clearRelays(): void {
    this.#relays.clear();
  }
}

/** Keeps the newest entries only. */
export function remember<T>(map: Map<number, T>, key: number, value: T, most: number): void {
  map.set(key, value);
  if (map.size <= most) return;
  const oldest = map.keys().next().value;
  if (oldest !== undefined) map.delete(oldest);
}
