/** The group under which a mesh of one process states things: itself. */
import { createHash } from 'node:crypto';
import type { NodeId } from '../../../node-id.ts';

/** A group of one that nobody else can join; never the id of a group of validators. */
export function localGroupId(self: NodeId): Uint8Array {
  return new Uint8Array(createHash('sha256').update(`quorate/local/1/${self}`).digest());
}
