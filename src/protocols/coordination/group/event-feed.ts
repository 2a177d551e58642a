/**
 * A client's view of the events of the machine: one counts when f + 1 validators told it alike, since one of them is honest.
 *
 * Each validator tells the events of a topic in the order of the log, over one channel. So once an event counts, every earlier one of its topic that was told
 * to this client by the same validators counts as well, and order is kept by dropping what comes late. What was told before a subscription reached enough
 * validators is lost; the subscriber hears of a gap when it has, and reads.
 *
 * A topic outlives its last subscriber for a while: who comes to a barrier again and again would otherwise subscribe each time at every validator, and after each time
 * have to ask what it has missed. It ends when it tells much that nobody here wants.
 */
import { hash } from 'node:crypto';
import type { NodeId } from '../../../node-id.ts';
import { type Group, quorumOf, weakQuorumOf } from '../../pbft/group.ts';
import type { Subscriber } from '../ordering.ts';
import { Subscriptions } from '../subscriptions.ts';
import type { GroupFrame } from './frames.ts';

/** Events of one topic that one validator told and not yet enough others; beyond it its oldest is dropped, and never another's: a liar drowns nobody out. */
const maxOpen = 256;
/** Topics without a subscriber that are kept; the one unused for longest ends first. */
const maxDormant = 64;
/** Events that a topic may tell to nobody before it ends. */
const maxUnwanted = 16;

interface Topic {
  /** The last event that counted. */
  revision: number;
  readonly subscribed: Set<NodeId>;
  established: boolean;
  /** Validator → revision → digest of the payload: what a liar tells must not fill the memory. */
  readonly told: Map<NodeId, Map<number, string>>;
  /** Events that counted while nobody here had subscribed. */
  unwanted: number;
}

export class EventFeed {
  readonly #subscriptions: Subscriptions;
  readonly #topics = new Map<string, Topic>();
  /** Topics without a subscriber, the one unused for longest first. */
  readonly #dormant = new Set<string>();
  readonly #send: (to: NodeId, frame: GroupFrame) => void;
  #group: Group;

  constructor(
    group: Group,
    send: (to: NodeId, frame: GroupFrame) => void,
    onListenerError: (error: unknown, where: string) => void,
  ) {
    this.#group = group;
    this.#send = send;
    this.#subscriptions = new Subscriptions(onListenerError);
  }

  subscribe(name: string, subscriber: Subscriber): () => void {
    const remove = this.#subscriptions.add(name, subscriber);
    this.#dormant.delete(name);
    const known = this.#topics.get(name);
    if (known !== undefined) known.unwanted = 0;
    else {
      this.#topics.set(name, { revision: 0, subscribed: new Set(), established: false, told: new Map(), unwanted: 0 });
      for (const validator of this.#group.validators) this.#send(validator, { type: 'subscribe', topic: name });
    }
    return () => {
      remove();
      if (!this.#subscriptions.has(name) && this.#topics.has(name)) this.#rest(name);
    };
  }

  #rest(name: string): void {
    this.#dormant.delete(name);
    this.#dormant.add(name);
    const [oldest] = this.#dormant;
    if (this.#dormant.size > maxDormant && oldest !== undefined) this.#end(oldest);
  }

  #end(name: string): void {
    this.#dormant.delete(name);
    if (!this.#topics.delete(name)) return;
    for (const validator of this.#group.validators) this.#send(validator, { type: 'unsubscribe', topic: name });
  }

  /** Who is to be told from now on. */
  useGroup(group: Group): void {
    this.#group = group;
    for (const [name, topic] of this.#topics) {
      topic.told.clear();
      for (const validator of group.validators) {
        if (!topic.subscribed.has(validator)) this.#send(validator, { type: 'subscribe', topic: name });
      }
    }
    this.#subscriptions.gap();
  }

  /** The channel to a validator is new, or it forgot us: everything is asked of it again. */
  resubscribe(validator: NodeId): void {
    if (!this.#group.validators.includes(validator)) return;
    for (const [name, topic] of this.#topics) {
      topic.subscribed.delete(validator);
      // Too few are left that certainly tell: when enough do again, something may have been missed.
      topic.established &&= this.#enough(topic);
      this.#send(validator, { type: 'subscribe', topic: name });
    }
  }

  onFrame(from: NodeId, frame: GroupFrame): void {
    if (!this.#group.validators.includes(from)) return;
    if (frame.type === 'gap') this.#subscriptions.gap();
    else if (frame.type === 'subscribed') this.#onSubscribed(from, frame.topic);
    else if (frame.type === 'event') this.#onEvent(from, frame.topic, frame.revision, frame.payload);
  }

  stop(): void {
    this.#subscriptions.clear();
    this.#topics.clear();
    this.#dormant.clear();
  }

  #onSubscribed(from: NodeId, name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    topic.subscribed.add(from);
    if (!this.#enough(topic) || topic.established) return;
    topic.established = true;
    this.#subscriptions.gap(name);
  }

  /** A quorum tells: f of it may lie or die, and f + 1 are left. */
  #enough({ subscribed }: Topic): boolean {
    return subscribed.size >= Math.min(quorumOf(this.#group), this.#group.validators.length);
  }

  #onEvent(from: NodeId, name: string, revision: number, payload: Uint8Array): void {
    const topic = this.#topics.get(name);
    if (topic === undefined || revision <= topic.revision) return;
    const told = topic.told.get(from) ?? new Map<number, string>();
    topic.told.set(from, told);
    const digest = hash('sha256', payload, 'base64');
    told.set(revision, digest);
    let alike = 0;
    for (const other of topic.told.values()) if (other.get(revision) === digest) alike++;
    if (alike >= weakQuorumOf(this.#group)) {
      topic.revision = revision;
      for (const open of topic.told.values()) {
        for (const known of open.keys()) if (known <= revision) open.delete(known);
      }
      if (this.#dormant.has(name) && ++topic.unwanted >= maxUnwanted) this.#end(name);
      else this.#subscriptions.deliver(name, payload);
    } else if (told.size > maxOpen) {
      told.delete(told.keys().next().value as number);
    }
  }
}
