/**
 * How a node that was told of no group learns which one its mesh has: it asks every peer it meets. What two peers say alike is taken, or what one says when nobody
 * contradicts it for a while; a definition is its own proof of nothing but itself, so whoever must be sure pins the id (`coordination.group`) or the founders.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import { decodeDefinition, type GroupDefinition } from './definition.ts';

/** How long a lone answer may be contradicted, milliseconds. */
const settleMs = 300;
const maxAnswers = 64;

export class GroupLearning {
  readonly #meshName: string;
  readonly #pinned: string | undefined;
  readonly #clock: Clock;
  readonly #onLearned: (definition: GroupDefinition, from: readonly NodeId[]) => void;
  readonly #onConflict: (message: string) => void;
  readonly #said = new Map<NodeId, GroupDefinition>();
  #timer: Timer | undefined;
  #done = false;

  constructor(parts: {
    readonly meshName: string;
    /** Hexadecimal id of the only group to accept. */
    readonly pinned: string | undefined;
    readonly clock: Clock;
    readonly onLearned: (definition: GroupDefinition, from: readonly NodeId[]) => void;
    readonly onConflict: (message: string) => void;
  }) {
    this.#meshName = parts.meshName;
    this.#pinned = parts.pinned;
    this.#clock = parts.clock;
    this.#onLearned = parts.onLearned;
    this.#onConflict = parts.onConflict;
  }

  /** Who has answered so far, with or without a group. */
  get asked(): readonly NodeId[] {
    return [...this.#said.keys()];
  }

  /** False when the bytes are no definition of this mesh's group. */
  hear(from: NodeId, bytes: Uint8Array): boolean {
    const definition = acceptable(bytes, this.#meshName, this.#pinned);
    if (definition === undefined) return false;
    if (this.#done || (this.#said.size >= maxAnswers && !this.#said.has(from))) return true;
    this.#said.set(from, definition);
    const same = this.#supporters(definition);
    if (this.#pinned !== undefined || same.length >= 2) this.#take(definition, same);
    else this.#timer ??= this.#clock.after(settleMs, () => this.#takeMost());
    return true;
  }

  stop(): void {
    this.#done = true;
    this.#timer?.cancel();
  }

  #supporters(definition: GroupDefinition): NodeId[] {
    const id = idOf(definition);
    return [...this.#said].filter(([, other]) => idOf(other) === id).map(([peer]) => peer);
  }

  #takeMost(): void {
    this.#timer = undefined;
    const ids = new Set([...this.#said.values()].map(idOf));
    if (ids.size === 1) {
      const definition = this.#said.values().next().value as GroupDefinition;
      this.#take(definition, this.#supporters(definition));
      return;
    }
    this.#onConflict(
      `Peers name ${ids.size} different groups of validators for this mesh, one each; somebody lies, or two meshes of one name met. Set coordination.group to the id that is right.`,
    );
  }

  #take(definition: GroupDefinition, from: readonly NodeId[]): void {
    this.stop();
    this.#onLearned(definition, from);
  }
}

/** The definition in `bytes`, if it is one of this mesh's group. */
export function acceptable(
  bytes: Uint8Array,
  meshName: string,
  pinned: string | undefined,
): GroupDefinition | undefined {
  const definition = decodeDefinition(bytes);
  if (definition === undefined || definition.name !== meshName) return undefined;
  return pinned === undefined || idOf(definition) === pinned ? definition : undefined;
}

export const idOf = ({ id }: GroupDefinition): string => Buffer.from(id).toString('hex');
