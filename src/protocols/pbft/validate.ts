/**
 * The boundary: bytes from a peer become an `Accepted` message or a verdict, in the order size, shape,
 * membership, certificate, signature. What depends on the state of the replica (window, view, duplicates)
 * is judged by the core afterwards, which takes nothing but `Accepted` messages.
 *
 * `inspect` does everything but the signatures and returns those as claims, so that a driver may verify
 * them elsewhere, at once, or not again; `validate` is the plain way.
 */
import type { NodeId } from '../../node-id.ts';
import { type Decoded, decodeMessage, headDigest } from './encoding.ts';
import { type Group, type GroupParameters, isValidator, preparesNeededBy, primaryOf, quorumOf } from './group.ts';
import {
  bodyBytes,
  type CatchUp,
  type CheckpointProof,
  checkpointBytes,
  type Digest,
  type Endorsement,
  type Message,
  type NewView,
  type PreparedCertificate,
  proposalBytes,
  type Request,
  type ViewChange,
} from './messages.ts';
import { resilienceProblem } from './quorum.ts';
import { planNewView } from './re-proposals.ts';

/** True when `signature` is `signer`'s on `bytes`. */
export type Verify = (signer: NodeId, bytes: Uint8Array, signature: Uint8Array) => boolean;

export interface SignatureClaim {
  readonly signer: NodeId;
  readonly bytes: Uint8Array;
  readonly signature: Uint8Array;
}

declare const accepted: unique symbol;
/** A message that passed every check which needs no state. Only this module makes them. */
export interface Accepted {
  readonly [accepted]: true;
  /** The peer at the other end of the channel; signed messages may be relayed by others than their author. */
  readonly from: NodeId;
  readonly message: Message;
}

export type Verdict =
  | 'too-large'
  | 'malformed'
  | 'not-a-member'
  /** It names another author than the peer it came from, and carries no signature of that author. */
  | 'impersonation'
  | 'unknown-epoch'
  | 'bad-certificate'
  | 'bad-digest'
  | 'bad-signature';

/** What the checks need to know of the replica. */
export interface ValidationContext {
  readonly groupId: Uint8Array;
  readonly parameters: GroupParameters;
  /** Digest of the founding checkpoint, the only one that needs no votes. */
  readonly founding: Digest;
  /** Every epoch known, by its number; the last one rules now. */
  readonly groups: ReadonlyMap<number, Group>;
}

type Inspected =
  | { readonly ok: true; readonly accepted: Accepted; readonly claims: readonly SignatureClaim[] }
  | { readonly ok: false; readonly verdict: Verdict };

/** Everything but the signatures; the message counts only once every claim was verified. */
export function inspect(bytes: Uint8Array, from: NodeId, context: ValidationContext): Inspected {
  const decoded = decodeMessage(bytes, context.parameters);
  if (typeof decoded === 'string') return { ok: false, verdict: decoded };
  const claims: SignatureClaim[] = [];
  const verdict = check(decoded, from, context, claims);
  if (verdict !== undefined) return { ok: false, verdict };
  return { ok: true, accepted: { from, message: decoded.message } as Accepted, claims };
}

export function validate(
  bytes: Uint8Array,
  from: NodeId,
  context: ValidationContext,
  verify: Verify,
): Accepted | Verdict {
  const inspected = inspect(bytes, from, context);
  if (!inspected.ok) return inspected.verdict;
  const sound = inspected.claims.every((claim) => verify(claim.signer, claim.bytes, claim.signature));
  return sound ? inspected.accepted : 'bad-signature';
}

function check(
  decoded: Decoded,
  from: NodeId,
  context: ValidationContext,
  claims: SignatureClaim[],
): Verdict | undefined {
  const { message } = decoded;
  switch (message.type) {
    case 'request':
      claims.push(requestClaim(context, message, decoded.requestBodies[0] as Uint8Array));
      return undefined;
    case 'prePrepare': {
      const group = context.groups.get(message.epoch);
      if (group === undefined) return 'unknown-epoch';
      if (message.replica !== primaryOf(group, message.view)) return 'not-a-member';
      if (message.batch !== undefined && message.batch.digest !== message.digest) return 'bad-digest';
      claims.push(voteClaim(context, 'prePrepare', message));
      message.batch?.requests.forEach((request, index) => {
        claims.push(requestClaim(context, request, decoded.requestBodies[index] as Uint8Array));
      });
      return undefined;
    }
    case 'prepare':
    case 'checkpoint': {
      const group = context.groups.get(message.epoch);
      if (group === undefined) return 'unknown-epoch';
      if (!isValidator(group, message.replica)) return 'not-a-member';
      if (message.type === 'prepare' && message.replica === primaryOf(group, message.view)) return 'not-a-member';
      claims.push(
        message.type === 'prepare'
          ? voteClaim(context, 'prepare', message)
          : {
              signer: message.replica,
              bytes: checkpointBytes(context.groupId, message.epoch, message.seq, message.digest),
              signature: message.signature,
            },
      );
      return undefined;
    }
    case 'commit': {
      if (message.replica !== from) return 'impersonation';
      const group = context.groups.get(message.epoch);
      if (group === undefined) return 'unknown-epoch';
      return isValidator(group, from) ? undefined : 'not-a-member';
    }
    case 'committed': {
      const group = context.groups.get(message.epoch);
      if (group === undefined) return 'unknown-epoch';
      return isValidator(group, from) ? undefined : 'not-a-member';
    }
    case 'viewChange':
      return checkViewChange(context, message, claims);
    case 'newView':
      return checkNewView(context, message, claims);
    case 'catchUp':
      return checkCatchUp(context, message, claims);
    default:
      // Questions may come from anybody, answers to questions are checked against what was asked.
      return undefined;
  }
}

// Claims.

function requestClaim(context: ValidationContext, request: Request, body: Uint8Array): SignatureClaim {
  return {
    signer: request.client,
    bytes: bodyBytes(context.groupId, 'request', body),
    signature: request.signature,
  };
}

function voteClaim(
  context: ValidationContext,
  type: 'prePrepare' | 'prepare',
  vote: { epoch: number; view: number; seq: number; digest: Digest; replica: NodeId; signature: Uint8Array },
): SignatureClaim {
  const bytes = proposalBytes(context.groupId, type, vote.epoch, vote.view, vote.seq, vote.digest);
  return { signer: vote.replica, bytes, signature: vote.signature };
}

// Certificates. Each check adds the claims it depends on.

function distinctValidators(group: Group, votes: readonly Endorsement[]): boolean {
  const names = new Set(votes.map(({ replica }) => replica));
  return names.size === votes.length && votes.every(({ replica }) => isValidator(group, replica));
}

/**
 * A quorum of the validators of `proof.epoch` stands behind the head; `group` are those validators. Undefined when it does,
 * provided that the signatures added to `claims` are good.
 */
export function checkProof(
  context: Pick<ValidationContext, 'groupId' | 'founding'>,
  group: Group | undefined,
  proof: CheckpointProof,
  claims: SignatureClaim[],
): Verdict | undefined {
  const { head } = proof;
  const digest = headDigest(head);
  if (head.seq === 0) return digest === context.founding ? undefined : 'bad-certificate';
  if (group === undefined) return 'unknown-epoch';
  if (group.epoch !== proof.epoch || head.seq <= group.since) return 'bad-certificate';
  const succession = head.group.epoch === proof.epoch + 1 && head.group.since === head.seq;
  if (head.group.epoch !== proof.epoch && !succession) return 'bad-certificate';
  if (resilienceProblem(head.group.validators.length, head.group.f) !== undefined) return 'bad-certificate';
  if (proof.votes.length < quorumOf(group) || !distinctValidators(group, proof.votes)) return 'bad-certificate';
  const bytes = checkpointBytes(context.groupId, proof.epoch, head.seq, digest);
  for (const { replica, signature } of proof.votes) claims.push({ signer: replica, bytes, signature });
  return undefined;
}

function checkCertificate(
  context: ValidationContext,
  group: Group,
  certificate: PreparedCertificate,
  claims: SignatureClaim[],
): boolean {
  const { view, seq, digest, prepares } = certificate;
  const primary = primaryOf(group, view);
  if (prepares.length < preparesNeededBy(group) || !distinctValidators(group, prepares)) return false;
  if (prepares.some(({ replica }) => replica === primary)) return false;
  const vote = { epoch: group.epoch, view, seq, digest };
  claims.push(voteClaim(context, 'prePrepare', { ...vote, replica: primary, signature: certificate.signature }));
  for (const endorsement of prepares) claims.push(voteClaim(context, 'prepare', { ...vote, ...endorsement }));
  return true;
}

function checkViewChange(
  context: ValidationContext,
  change: ViewChange,
  claims: SignatureClaim[],
): Verdict | undefined {
  const group = context.groups.get(change.epoch);
  if (group === undefined) return 'unknown-epoch';
  if (!isValidator(group, change.replica)) return 'not-a-member';
  const { head, epoch } = change.checkpoint;
  // The checkpoint must rule the epoch the view change is about, founding state included.
  if (head.group.epoch !== change.epoch || change.view === 0) return 'bad-certificate';
  const wrong = checkProof(context, context.groups.get(epoch), change.checkpoint, claims);
  if (wrong !== undefined) return wrong;
  let previous = head.seq;
  for (const certificate of change.prepared) {
    const inOrder = certificate.seq > previous && certificate.seq <= head.seq + context.parameters.window;
    if (!inOrder || certificate.view >= change.view) return 'bad-certificate';
    if (!checkCertificate(context, group, certificate, claims)) return 'bad-certificate';
    previous = certificate.seq;
  }
  const bytes = bodyBytes(context.groupId, 'viewChange', change.body);
  claims.push({ signer: change.replica, bytes, signature: change.signature });
  return undefined;
}

function checkNewView(context: ValidationContext, view: NewView, claims: SignatureClaim[]): Verdict | undefined {
  const group = context.groups.get(view.epoch);
  if (group === undefined) return 'unknown-epoch';
  if (view.replica !== primaryOf(group, view.view)) return 'not-a-member';
  const authors = new Set(view.viewChanges.map(({ replica }) => replica));
  if (authors.size !== view.viewChanges.length || authors.size < quorumOf(group)) return 'bad-certificate';
  for (const change of view.viewChanges) {
    if (change.view !== view.view || change.epoch !== view.epoch) return 'bad-certificate';
    const wrong = checkViewChange(context, change, claims);
    if (wrong !== undefined) return wrong;
  }
  const { proposals } = planNewView(view.viewChanges);
  if (proposals.length !== view.proposals.length) return 'bad-certificate';
  for (const [index, { seq, digest }] of proposals.entries()) {
    const proposal = view.proposals[index];
    if (proposal?.seq !== seq || proposal.digest !== digest) return 'bad-certificate';
    const vote = { epoch: view.epoch, view: view.view, seq, digest };
    claims.push(voteClaim(context, 'prePrepare', { ...vote, replica: view.replica, signature: proposal.signature }));
  }
  const bytes = bodyBytes(context.groupId, 'newView', view.body);
  claims.push({ signer: view.replica, bytes, signature: view.signature });
  return undefined;
}

/** Follows the chain from the first epoch that is known; each step is signed by the validators before it. */
function checkCatchUp(context: ValidationContext, message: CatchUp, claims: SignatureClaim[]): Verdict | undefined {
  const derived = new Map<number, Group>();
  const groupOf = (epoch: number): Group | undefined => context.groups.get(epoch) ?? derived.get(epoch);
  for (const step of message.epochs) {
    if (step.head.group.epoch !== step.epoch + 1) return 'bad-certificate';
    const wrong = checkProof(context, groupOf(step.epoch), step, claims);
    if (wrong !== undefined) return wrong;
    derived.set(step.head.group.epoch, step.head.group);
  }
  return checkProof(context, groupOf(message.checkpoint.epoch), message.checkpoint, claims);
}
