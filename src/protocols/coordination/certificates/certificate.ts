/**
 * A settled result that convinces somebody who was not there: signed by enough validators that an honest one is among them,
 * with the way from the founders to those validators.
 *
 * f + 1 signatures suffice: an honest validator signs only what it has executed, and what one has executed all will
 * (TOCS 2002, section 3.2, calls this a weak certificate). Changes of validators are shown by the checkpoints that ended their epochs,
 * each signed by a quorum of the set before.
 */
import type { NodeId } from '../../../node-id.ts';

export interface Certificate {
  /** Id of the group of validators (hash of its name, founders and parameters). */
  readonly group: Uint8Array;
  /** The epoch whose validators signed. */
  readonly epoch: number;
  /** What was asked, encoded; part of what is signed. */
  readonly query: Uint8Array;
  /** The settled value, encoded canonically (`codec.ts`). */
  readonly statement: Uint8Array;
  readonly signatures: readonly { readonly validator: NodeId; readonly signature: Uint8Array }[];
  /** One encoded checkpoint proof for each change of validators since the founders, oldest first. */
  readonly succession: readonly Uint8Array[];
}
