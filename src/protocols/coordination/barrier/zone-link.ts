/**
 * What a hierarchical barrier asks of whatever connects the nodes of a zone, and nothing more. Two implementations: a node by itself (here), and a
 * network (`network-zone-link.ts`).
 */
import type { NodeId } from '../../../node-id.ts';

export interface ZoneReceiver {
  /** `from` is authenticated. The bytes are not: judge them. */
  onMessage(from: NodeId, bytes: Uint8Array): void;
  /** What was sent to this node may be lost, and it will say nothing for now. */
  onGone(node: NodeId): void;
}

export interface ZoneLink {
  readonly self: NodeId;
  /** Who speaks for this node's zone now, as this node sees it: the lowest id of those that live. Other nodes may see it otherwise for a while. */
  aggregator(): NodeId;
  /** Best effort; false when it is certain already that nothing will arrive. A message to oneself arrives after the current turn. */
  send(to: NodeId, bytes: Uint8Array): boolean;
  /** One receiver; call once. */
  listen(receiver: ZoneReceiver): void;
  stop(): void;
}

/** A longer message is refused, in either direction, bytes. A certified outcome with many changes of validators may not fit; it goes without certificate. */
export const maxZoneMessageBytes = 256 * 1024;

/** A zone of one. */
export class SelfZoneLink implements ZoneLink {
  readonly self: NodeId;
  #receiver: ZoneReceiver | undefined;

  constructor(self: NodeId) {
    this.self = self;
  }

  aggregator(): NodeId {
    return this.self;
  }

  send(to: NodeId, bytes: Uint8Array): boolean {
    if (to !== this.self || this.#receiver === undefined) return false;
    queueMicrotask(() => this.#receiver?.onMessage(this.self, bytes));
    return true;
  }

  listen(receiver: ZoneReceiver): void {
    this.#receiver = receiver;
  }

  stop(): void {
    this.#receiver = undefined;
  }
}
