/** The bytes of a `checkpoint` record: a stable checkpoint with its proof, its state and the way there. */
import { maxEpochs, readProof, writeProof } from './encoding.ts';
import type { CheckpointProof } from './messages.ts';
import { Reader, Writer } from './wire.ts';

export interface StableRecord {
  readonly proof: CheckpointProof;
  readonly epochs: readonly CheckpointProof[];
  readonly state: Uint8Array;
}

export function encodeStable({ proof, epochs, state }: StableRecord): Uint8Array {
  const w = new Writer();
  writeProof(w, proof);
  return w.list(epochs, writeProof).bytes(state).finish();
}

export function decodeStable(bytes: Uint8Array): StableRecord | undefined {
  const r = new Reader(bytes);
  const record = { proof: readProof(r), epochs: r.list(maxEpochs, readProof), state: r.bytes(bytes.length) };
  return r.complete ? record : undefined;
}
