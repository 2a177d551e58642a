/**
 * Who raises the alerts of a monitor: rendezvous hashing (Thaler, Ravishankar 1996) of its id over the nodes that have it. All nodes with the same
 * view choose the same one without a word, different monitors fall to different nodes, and one that comes or goes moves only its own.
 */
import { hash } from 'node:crypto';
import type { NodeId } from '../../../node-id.ts';

export class Ownership {
  readonly #id: string;
  /** Node → its draw; of the nodes asked about last. */
  #draws = new Map<NodeId, string>();

  constructor(id: string) {
    this.#id = id;
  }

  /** `nodes` is not empty. */
  ownerOf(nodes: Iterable<NodeId>): NodeId {
    const draws = new Map<NodeId, string>();
    let owner: NodeId | undefined;
    for (const node of nodes) {
      const draw = this.#draws.get(node) ?? hash('sha256', JSON.stringify([this.#id, node]), 'hex');
      draws.set(node, draw);
      if (owner === undefined || draw > (draws.get(owner) as string)) owner = node;
    }
    this.#draws = draws;
    return owner as NodeId;
  }
}
