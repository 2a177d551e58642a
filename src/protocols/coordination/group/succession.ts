/** The way from the founders to the present validators, as this node has seen it proved, for those who ask. */
import { encodeMessage } from '../../pbft/encoding.ts';
import type { CatchUp, CheckpointProof } from '../../pbft/messages.ts';

export class Succession {
  /** By the epochs they lead to. */
  readonly #changes = new Map<number, CheckpointProof>();
  #encoded: Uint8Array | undefined;

  /** An encoded `catchUp`; undefined while the founders rule. */
  get encoded(): Uint8Array | undefined {
    return this.#encoded;
  }

  /** Takes over what was proved: one proof for each change, whatever else came along, so that it serves everybody and nobody can swell it. */
  learn({ epochs, checkpoint }: CatchUp): void {
    for (const proof of [...epochs, checkpoint]) {
      const { epoch } = proof.head.group;
      if (epoch > proof.epoch && !this.#changes.has(epoch)) this.#changes.set(epoch, proof);
    }
    const changes = [...this.#changes.values()].sort((a, b) => a.epoch - b.epoch);
    this.#encoded = encodeMessage({ type: 'catchUp', epochs: changes, checkpoint });
  }
}
