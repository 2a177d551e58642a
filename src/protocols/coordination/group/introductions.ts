/**
 * Who rules here: asked of peers, and told to those that ask. What peers say is weighed by `learning.ts`; the way from the founders to the present
 * validators proves itself.
 */
import type { Clock } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import { encodeDefinition, type GroupDefinition, maxDefinitionBytes } from './definition.ts';
import { type GroupFrame, maxGroupFrameBytes } from './frames.ts';
import { GroupLearning } from './learning.ts';

/** Asked which group rules when a node starts: two that agree settle it. */
const fewPeers = 2;
/** All peers are asked no more often than this, milliseconds. */
const askAllGapMs = 2_000;

export interface IntroductionsParts {
  readonly meshName: string;
  /** Hexadecimal id of the only group to accept. */
  readonly pinned: string | undefined;
  readonly clock: Clock;
  readonly peers: () => Iterable<NodeId>;
  readonly tell: (to: NodeId, frame: GroupFrame) => void;
  /** The group, once it is known. */
  readonly definition: () => GroupDefinition | undefined;
  /** The way from the founders to the present validators, as far as it is known here. */
  readonly way: () => Uint8Array | undefined;
  /** Enough peers, those in `from`, agree on the group. */
  readonly onLearned: (definition: GroupDefinition, from: readonly NodeId[]) => void;
  readonly onWay: (from: NodeId, way: Uint8Array) => void;
  readonly onConflict: (message: string) => void;
  readonly onRefused: (reason: string) => void;
}

export class Introductions {
  readonly #parts: IntroductionsParts;
  readonly #learning: GroupLearning;
  /** Peers that were asked; all of them once somebody here waits for the answer. */
  readonly #asked = new Set<NodeId>();
  #askEverybody = false;
  #askedAllAt = Number.NEGATIVE_INFINITY;

  constructor(parts: IntroductionsParts) {
    this.#parts = parts;
    const { meshName, pinned, clock, onLearned, onConflict } = parts;
    this.#learning = new GroupLearning({ meshName, pinned, clock, onLearned, onConflict });
  }

  /** Peers that have been heard on the matter, whatever they said. */
  get heard(): readonly NodeId[] {
    return this.#learning.asked;
  }

  /**
   * Also when the group is known: perhaps none of the validators that this node knows of is one any more. A few peers are enough while nobody here waits: in a large mesh
   * most nodes never coordinate, and a channel to each neighbour is not free.
   */
  ask(peer: NodeId): void {
    if (this.#asked.has(peer) || (this.#asked.size >= fewPeers && !this.#askEverybody)) return;
    this.#asked.add(peer);
    this.#parts.tell(peer, { type: 'which' });
  }

  /** Somebody here waits. */
  askAll(): void {
    const now = this.#parts.clock.now();
    if (now - this.#askedAllAt < askAllGapMs) return;
    this.#askedAllAt = now;
    this.#askEverybody = true;
    // Who was asked before may know more by now.
    this.#asked.clear();
    for (const peer of this.#parts.peers()) this.ask(peer);
  }

  /** Its channel is closed: when it is back, it is asked again. */
  disconnected(peer: NodeId): void {
    this.#asked.delete(peer);
  }

  onWhich(peer: NodeId): void {
    const way = this.#parts.way();
    // A longer one is asked for by the agreement protocol, once the group is known.
    const catchUp = way !== undefined && way.length <= maxGroupFrameBytes - 2 * maxDefinitionBytes ? way : undefined;
    const known = this.#parts.definition();
    const definition = known === undefined ? undefined : encodeDefinition(known);
    const frame: GroupFrame = {
      type: 'group',
      ...(definition === undefined ? {} : { definition }),
      ...(catchUp === undefined ? {} : { catchUp }),
    };
    this.#parts.tell(peer, frame);
  }

  onGroup(from: NodeId, frame: Extract<GroupFrame, { type: 'group' }>): void {
    if (frame.definition !== undefined && this.#parts.definition() === undefined) {
      if (!this.#learning.hear(from, frame.definition)) this.#parts.onRefused('coordination: another group');
    }
    if (frame.catchUp !== undefined && this.#isOurs(frame.definition)) this.#parts.onWay(from, frame.catchUp);
  }

  stop(): void {
    this.#learning.stop();
  }

  /** The way to the validators of another group proves nothing here, and whoever tells it need not lie: this node may have been told the wrong one. */
  #isOurs(definition: Uint8Array | undefined): boolean {
    const known = this.#parts.definition();
    if (known === undefined || definition === undefined) return true;
    return Buffer.compare(encodeDefinition(known), definition) === 0;
  }
}
