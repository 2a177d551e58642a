/**
 * Changing the validators as an ordered command.
 *
 * Intuition: a change is a vote of each validator, ordered like any command; once a quorum of the present
 * validators has voted for the same next set, it is decided, so liars alone change nothing. It takes effect
 * after a fixed later sequence E, a checkpoint at least a whole window ahead. Nobody works on a sequence above
 * E before the checkpoint at E is stable, and nobody can be asked to without knowing of the change: a
 * sequence x > E is in the window only from a stable checkpoint of at least x − window, which lies after
 * the deciding vote. So every sequence has exactly one set of validators, known before it is worked on.
 * (etcd's membership at apply time, judged unsound by its maintainers in etcd #7625, lacks this distance.)
 *
 * The checkpoint at E names the next validators and is signed by the present ones: these proofs, one per
 * epoch, lead a newcomer from the founders to the validators of today.
 */
import type { NodeId } from '../../node-id.ts';
import { maxEpochs, readGroup } from './encoding.ts';
import { type Group, type GroupParameters, isValidator, quorumOf, validatorsProblem, writeGroup } from './group.ts';
import { type Digest, digestOf } from './messages.ts';
import type { Outcome } from './outcome.ts';
import { maxValidators, resilienceProblem } from './quorum.ts';
import { type Reader, Writer } from './wire.ts';

/** The part of the replicated state that says who rules; the same everywhere at the same sequence. */
export interface Membership {
  current: Group;
  /** Decided, and in force above `next.since`. */
  next: Group | undefined;
  /** Each validator's last vote in this epoch, by the digest of what it voted for. */
  readonly votes: Map<NodeId, Digest>;
}

export const createMembership = (founders: Group): Membership => ({
  current: founders,
  next: undefined,
  votes: new Map(),
});

/** Counts a vote ordered at `seq`. */
export function voteForValidators(
  membership: Membership,
  voter: NodeId,
  proposal: { readonly validators: readonly NodeId[]; readonly f: number },
  seq: number,
  parameters: GroupParameters,
): Outcome {
  const { current, next, votes } = membership;
  const { validators, f } = proposal;
  const digest = proposalDigest(validators, f);
  if (next !== undefined) {
    const same = proposalDigest(next.validators, next.f) === digest;
    return same ? { kind: 'voted', effective: next.since } : { kind: 'refused' };
  }
  const unsound = validatorsProblem(validators) ?? resilienceProblem(validators.length, f);
  if (unsound !== undefined || !isValidator(current, voter) || current.epoch >= maxEpochs) return { kind: 'refused' };
  votes.set(voter, digest);
  let agreed = 0;
  for (const vote of votes.values()) if (vote === digest) agreed++;
  if (agreed < quorumOf(current)) return { kind: 'voted', effective: 0 };
  const interval = parameters.checkpointInterval;
  const since = Math.ceil((seq + parameters.window) / interval) * interval;
  membership.next = { epoch: current.epoch + 1, since, validators: [...validators], f };
  return { kind: 'voted', effective: since };
}

/** To be called after each executed sequence. */
export function passEpoch(membership: Membership, executed: number): void {
  if (membership.next?.since !== executed) return;
  membership.current = membership.next;
  membership.next = undefined;
  membership.votes.clear();
}

function proposalDigest(validators: readonly NodeId[], f: number): Digest {
  const writer = new Writer();
  writeGroup(writer, { epoch: 0, since: 0, validators, f });
  return digestOf(writer.finish());
}

export function writeMembership(w: Writer, membership: Membership): void {
  writeGroup(w, membership.current);
  w.list(membership.next === undefined ? [] : [membership.next], writeGroup);
  const sorted = [...membership.votes].sort(([a], [b]) => (a < b ? -1 : 1));
  w.list(sorted, (one, [voter, digest]) => one.text(voter).digest(digest));
}

export function readMembership(r: Reader): Membership {
  const current = readGroup(r);
  const next = r.list(1, readGroup)[0];
  const votes = r.list(maxValidators, (one) => [one.text(64) as NodeId, one.digest()] as const);
  return { current, next, votes: new Map(votes) };
}
