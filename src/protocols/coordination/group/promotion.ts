/**
 * Members become validators by themselves, in meshes whose members trust each other: until there are as many as wanted, the primary votes for the member that has run
 * longest among those that offer to (role `validator`), and the others second it (`changes: 'trust'`). One at a time, so that the group is never more than one change ahead of
 * what has proved to work.
 *
 * Off by default: whoever can add members could otherwise come to own the quorum.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Group } from '../../pbft/group.ts';
import { maxFaulty } from '../../pbft/quorum.ts';

/** A member as promotion sees it. */
export interface Candidate {
  readonly id: NodeId;
  /** Wall clock of its start, milliseconds since 1970. */
  readonly startedAt: number;
  /** How long this node has seen it alive without a break, milliseconds. */
  readonly aliveMs: number;
}

export interface PromotionParts {
  readonly clock: Clock;
  readonly upTo: number;
  /** Members that are alive and offer to be validators. */
  readonly candidates: () => readonly Candidate[];
  /** The group as the replica here sees it; undefined unless this node is its primary and nothing else is being changed. */
  readonly leading: () => Group | undefined;
  readonly propose: (validators: readonly NodeId[], f: number) => Promise<unknown>;
  readonly onError: (error: unknown, where: string) => void;
}

const lookMs = 5_000;
/** Who has been there for less is not long-lived. A guess: longer than a restart loop takes to show. */
const minAliveMs = 30_000;

/** The member to promote next, the same whoever asks. */
export function nextCandidate(group: Group, upTo: number, candidates: readonly Candidate[]): NodeId | undefined {
  if (group.validators.length >= upTo) return undefined;
  const eligible = candidates.filter(({ id, aliveMs }) => aliveMs >= minAliveMs && !group.validators.includes(id));
  eligible.sort((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1));
  return eligible[0]?.id;
}

export class Promotion {
  readonly #parts: PromotionParts;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(parts: PromotionParts) {
    this.#parts = parts;
    this.#sleep();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #sleep(): void {
    if (this.#stopped) return;
    this.#timer = this.#parts.clock.after(lookMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { upTo, candidates, leading, propose, onError } = this.#parts;
    const group = leading();
    const chosen = group === undefined ? undefined : nextCandidate(group, upTo, candidates());
    if (group !== undefined && chosen !== undefined) {
      const validators = [...group.validators, chosen];
      try {
        await propose(validators, group.f === 0 ? 0 : maxFaulty(validators.length));
      } catch (error) {
        onError(error, 'promoting a validator');
      }
    }
    this.#sleep();
  }
}
