/** What the registry asks of whoever grants names that one node has at a time; coordination is. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';

export interface ExclusiveName {
  /** Higher than that of every earlier owner of the name. */
  readonly token: number;
  /** Convinces any node of the mesh; travels with the record. */
  readonly proof: Uint8Array;
  /** Aborts when the name is not held any more. */
  readonly signal: AbortSignal;
}

export interface ExclusiveNames {
  /** Rejects with `ALREADY_REGISTERED` when another node has the name, and as coordination does. */
  claim(
    id: AgentId,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  ): Promise<ExclusiveName>;
  /** Gives the name back; what cannot be told the validators now, the lease ends. */
  release(id: AgentId): Promise<void>;
  /** Whether the proof shows that the node was granted the name with this token; undefined while that cannot be judged. */
  verify(id: AgentId, node: NodeId, token: number, proof: Uint8Array): boolean | undefined;
}

/** Of a registry by itself: nothing can be granted, and no grant judged. */
export const noNames: ExclusiveNames = {
  async claim() {
    throw new QuorateError('NO_VALIDATORS', 'This registry has nobody who grants ids; use one of a mesh.', {
      asked: [],
    });
  },
  async release() {
    return undefined;
  },
  verify: () => undefined,
};
