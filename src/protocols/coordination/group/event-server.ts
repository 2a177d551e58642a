/** A validator's side of events: who subscribed to what, and what they are told. Bounded for each peer. */
import type { NodeId } from '../../../node-id.ts';
import type { MachineEvent } from '../machine/machine.ts';
import type { GroupFrame } from './frames.ts';

/** Topics one peer may have; a node of 1,000 agents that all wait for a lock has as many. */
const maxTopicsPerPeer = 4_096;
const maxPeers = 4_096;

export class EventServer {
  readonly #send: (to: NodeId, frame: GroupFrame) => void;
  readonly #byTopic = new Map<string, Set<NodeId>>();
  readonly #byPeer = new Map<NodeId, Set<string>>();
  refusedSubscriptions = 0;

  constructor(send: (to: NodeId, frame: GroupFrame) => void) {
    this.#send = send;
  }

  subscribe(peer: NodeId, topic: string): void {
    const topics = this.#byPeer.get(peer) ?? new Set<string>();
    const full = topics.size >= maxTopicsPerPeer && !topics.has(topic);
    if (full || (topics.size === 0 && this.#byPeer.size >= maxPeers)) {
      this.refusedSubscriptions += 1;
      return;
    }
    this.#byPeer.set(peer, topics.add(topic));
    this.#byTopic.set(topic, (this.#byTopic.get(topic) ?? new Set()).add(peer));
    this.#send(peer, { type: 'subscribed', topic });
  }

  unsubscribe(peer: NodeId, topic: string): void {
    const topics = this.#byPeer.get(peer);
    if (topics?.delete(topic) !== true) return;
    if (topics.size === 0) this.#byPeer.delete(peer);
    this.#dropPeer(peer, topic);
  }

  forget(peer: NodeId): void {
    for (const topic of this.#byPeer.get(peer) ?? []) this.#dropPeer(peer, topic);
    this.#byPeer.delete(peer);
  }

  tell({ topic, revision, payload }: MachineEvent): void {
    for (const peer of this.#byTopic.get(topic) ?? []) this.#send(peer, { type: 'event', topic, revision, payload });
  }

  /** The state was replaced as a whole: what happened in between was not told. */
  gap(): void {
    for (const peer of this.#byPeer.keys()) this.#send(peer, { type: 'gap' });
  }

  #dropPeer(peer: NodeId, topic: string): void {
    const peers = this.#byTopic.get(topic);
    peers?.delete(peer);
    if (peers?.size === 0) this.#byTopic.delete(topic);
  }
}
