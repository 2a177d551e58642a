/**
 * What a new view must propose again, computed alike by the new primary and by everybody who checks it
 * (OSDI '99 section 4.4).
 *
 * Intuition: whatever was committed anywhere was prepared at a quorum, so every quorum of view changes has
 * an honest member that shows its certificate. Taking for each sequence the certificate of the highest view
 * therefore keeps every committed batch; sequences nobody shows a certificate for cannot have been
 * committed and become null requests.
 */
import { type CheckpointProof, type Digest, nullBatch, type PreparedCertificate, type ViewChange } from './messages.ts';

export interface NewViewPlan {
  /** The highest stable checkpoint shown; nothing at or below it is proposed again. */
  readonly checkpoint: CheckpointProof;
  /** Gapless, from the checkpoint to the highest certificate. */
  readonly proposals: readonly { readonly seq: number; readonly digest: Digest }[];
}

/** `viewChanges` must be a quorum of valid ones for one view. */
export function planNewView(viewChanges: readonly ViewChange[]): NewViewPlan {
  let checkpoint = (viewChanges[0] as ViewChange).checkpoint;
  const best = new Map<number, PreparedCertificate>();
  let highest = 0;
  for (const change of viewChanges) {
    if (change.checkpoint.head.seq > checkpoint.head.seq) checkpoint = change.checkpoint;
    for (const certificate of change.prepared) {
      const known = best.get(certificate.seq);
      if (known === undefined || certificate.view > known.view) best.set(certificate.seq, certificate);
      if (certificate.seq > highest) highest = certificate.seq;
    }
  }
  const proposals: { seq: number; digest: Digest }[] = [];
  for (let seq = checkpoint.head.seq + 1; seq <= highest; seq++) {
    proposals.push({ seq, digest: best.get(seq)?.digest ?? nullBatch.digest });
  }
  return { checkpoint, proposals };
}
