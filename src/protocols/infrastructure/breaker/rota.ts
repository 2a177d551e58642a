/**
 * Who may probe, and when: one node at a time, without asking anybody.
 *
 * Intuition: time after the recovery is cut into slots, and in each slot one of the nodes that want to call is chosen by rendezvous hashing. All nodes know the
 * candidates, since a wish counts only for slots that begin `settleMs` after it, when everybody has heard of it. Whoever does not use its slot loses it.
 *
 * Invariant: two honest nodes probe at the same time only when their wall clocks and the delay of entries together are off by more than `settleMs`, or on
 * the two sides of a partition. Then there is one probe for each side.
 */
import { hash } from 'node:crypto';
import type { NodeId } from '../../../node-id.ts';

export const slotMs = 500;
/** Guess: clocks kept by NTP are within some ten milliseconds, entries travel some ten; ten times that is left. */
export const settleMs = 250;

export interface Candidate {
  readonly node: NodeId;
  readonly since: number;
}

/** The slots of one round. `name` tells it from all other rounds of all agents. */
export class Rota {
  readonly startsAt: number;
  readonly name: string;
  readonly #draws = new Map<string, string>();

  constructor(name: string, startsAt: number) {
    this.name = name;
    this.startsAt = startsAt;
  }

  slotAt(time: number): number {
    return Math.floor((time - this.startsAt) / slotMs);
  }

  startOf(slot: number): number {
    return this.startsAt + slot * slotMs;
  }

  /** Undefined when nobody wanted to call in time. */
  prober(slot: number, candidates: Iterable<Candidate>): NodeId | undefined {
    const latest = this.startOf(slot) - settleMs;
    let chosen: NodeId | undefined;
    let highest = '';
    for (const { node, since } of candidates) {
      if (since > latest) continue;
      const draw = this.#draw(slot, node);
      if (draw > highest) {
        highest = draw;
        chosen = node;
      }
    }
    return chosen;
  }

  #draw(slot: number, node: NodeId): string {
    const text = `${slot} ${node}`;
    let draw = this.#draws.get(text);
    if (draw === undefined) {
      if (this.#draws.size >= 1_024) this.#draws.clear();
      draw = hash('sha256', `${this.name} ${text}`, 'hex');
      this.#draws.set(text, draw);
    }
    return draw;
  }
}
