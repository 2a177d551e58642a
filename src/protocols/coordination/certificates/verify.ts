/**
 * Checks a certificate with nothing but what the checker trusts: no network, no mesh, no clock.
 *
 * Intuition: the group's id is a hash of its name, founders and parameters, so whoever knows those knows for whom a certificate speaks. From
 * the founders each checkpoint that ended an epoch, signed by a quorum of the validators before, names the next ones (the
 * same check that brings a newcomer up to date, `pbft/validate.ts`). Of the last ones f + 1 must have signed the statement, so at
 * least one honest validator has (TOCS 2002, section 3.2).
 *
 * Strict: a signature too many that is forged, foreign or repeated makes the whole certificate invalid, although the rest may suffice;
 * honest nodes never make one, and whoever reads `signers` may rely on each.
 *
 * What it does not say: whether these validators are still in office. A certificate of an epoch long past is as good as the keys of its
 * validators are still secret; who cares compares the returned `epoch` with the newest it has seen.
 */
import { type KeyObject, verify as verifySignature } from 'node:crypto';
import { decodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import { type NodeId, publicKeyFromNodeId, verifyKeyFromPublicKey } from '../../../node-id.ts';
import { decodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { maxEpochs, readProof } from '../../pbft/encoding.ts';
import {
  foundingGroup,
  type Group,
  type GroupParameters,
  groupId,
  isValidator,
  requireParameters,
  weakQuorumOf,
} from '../../pbft/group.ts';
import { maxValidators } from '../../pbft/quorum.ts';
import { checkProof, type SignatureClaim } from '../../pbft/validate.ts';
import { Reader } from '../../pbft/wire.ts';
import { coordinationParameters, inOneOrder } from '../group/definition.ts';
import { maxAnswerBytes, maxCommandBytes } from '../machine/limits.ts';
import type { Certificate } from './certificate.ts';
import { localGroupId } from './local-group.ts';
import { statementBytes } from './statement.ts';

/** A group of validators, as it was founded. Later changes are proved by the certificate itself. */
export interface GroupTrust {
  /** Name of the mesh. */
  readonly name: string;
  /** Node ids of the founders, in any order. */
  readonly validators: readonly NodeId[];
  /** How many of the founders may lie. */
  readonly f: number;
  /** Where they differ from the defaults. */
  readonly parameters?: Partial<GroupParameters> | undefined;
}

/** One process that decides for itself (`mode: 'local'`): its word is all there is. */
export interface LocalTrust {
  readonly local: NodeId;
}

/** The validators of one epoch, proved before: what a member of the mesh knows. Certificates then need not show the way to them. */
export interface EpochTrust {
  /** Id of the group. */
  readonly id: Uint8Array;
  readonly epoch: Group;
}

/** Whom the checker believes. It must come from elsewhere than the certificate. */
export type CertificateTrust = GroupTrust | LocalTrust | EpochTrust;

/** What a certificate proves. */
export interface Certified {
  /** What was asked. */
  readonly query: Value;
  /** What the validators state. */
  readonly statement: Value;
  /** Number of changes of validators since the founders. */
  readonly epoch: number;
  /** The validators that signed: at least f + 1 of their epoch. */
  readonly signers: readonly NodeId[];
}

/** Why a certificate proves nothing: `data.reason` of `CERTIFICATE_INVALID`. */
export type CertificateProblem =
  | 'malformed'
  /** It speaks for another mesh, other founders or other parameters. */
  | 'other-group'
  /** It names an epoch that its succession does not lead to. */
  | 'other-epoch'
  /** A change of validators is missing, out of order, or not signed by a quorum of those before. */
  | 'broken-succession'
  | 'too-few-signatures'
  | 'repeated-signature'
  /** Somebody signed who is no validator of the epoch. */
  | 'foreign-signature'
  /** A signature is not that validator's on this statement. */
  | 'forged-signature';

/**
 * What the certificate proves to whoever trusts `trust`, without asking anybody.
 *
 * Throws `CERTIFICATE_INVALID` with a `reason` when it proves nothing, and `INVALID_ARGUMENT` or `INVALID_OPTIONS` for a trust that is no group.
 *
 * @example
 * const certificate = decodeCertificate(await readFile('decision.cert'));
 * const { statement, signers } = verifyCertificate(certificate, { name: 'prod', validators: founders, f: 1 });
 */
export function verifyCertificate(certificate: Certificate, trust: CertificateTrust): Certified {
  const group = trustedGroup(certificate, trust);
  requireSignatures(certificate, group);
  if (certificate.query.length > maxCommandBytes || certificate.statement.length > maxAnswerBytes) {
    throw invalid('malformed', 'it is larger than anything validators sign');
  }
  const query = decodePayload(certificate.query);
  const statement = decodeValue(certificate.statement);
  if (!query.ok || !statement.ok) throw invalid('malformed', 'what was signed cannot be read');
  const signers = certificate.signatures.map(({ validator }) => validator);
  return { query: query.value, statement: statement.value, epoch: certificate.epoch, signers };
}

function trustedGroup(certificate: Certificate, trust: CertificateTrust): Group {
  if ('local' in trust) return localGroup(certificate, trust.local);
  if ('epoch' in trust) return knownGroup(certificate, trust);
  return groupOfEpoch(certificate, trust);
}

function knownGroup(certificate: Certificate, { id, epoch }: EpochTrust): Group {
  requireGroup(certificate, id);
  if (certificate.epoch === epoch.epoch) return epoch;
  throw invalid('other-epoch', `it names epoch ${certificate.epoch}, not ${epoch.epoch}`);
}

function localGroup(certificate: Certificate, self: NodeId): Group {
  const group = foundingGroup([self], 0);
  requireGroup(certificate, localGroupId(self));
  if (certificate.epoch !== 0 || certificate.succession.length > 0) {
    throw invalid('other-epoch', 'a mesh of one process has no epochs');
  }
  return group;
}

/** The validators of the certificate's epoch, by the checkpoints that ended the epochs before. */
function groupOfEpoch(certificate: Certificate, trust: GroupTrust): Group {
  const founders = foundingGroup(inOneOrder(trust.validators), trust.f);
  const parameters = { ...coordinationParameters, ...trust.parameters };
  requireParameters(parameters);
  const id = groupId(trust.name, founders, parameters);
  requireGroup(certificate, id);
  if (certificate.succession.length > maxEpochs) throw invalid('malformed', 'its succession is too long');
  let group = founders;
  for (const bytes of certificate.succession) group = nextGroup(id, group, bytes);
  if (group.epoch !== certificate.epoch) {
    throw invalid('other-epoch', `it names epoch ${certificate.epoch}, and its succession ends at ${group.epoch}`);
  }
  return group;
}

function nextGroup(id: Uint8Array, group: Group, bytes: Uint8Array): Group {
  const r = new Reader(bytes);
  const proof = readProof(r);
  if (!r.complete) throw invalid('malformed', 'a proof of succession cannot be read');
  const gap = `the change after epoch ${group.epoch} is not proved`;
  if (proof.epoch !== group.epoch || proof.head.group.epoch !== group.epoch + 1) {
    throw invalid('broken-succession', gap);
  }
  const claims: SignatureClaim[] = [];
  // Sequence 0 is the founding state; no epoch ends there, so no digest of it is ever right here.
  const verdict = checkProof({ groupId: id, founding: '' }, group, proof, claims);
  if (verdict !== undefined || !claims.every(isSigned)) throw invalid('broken-succession', gap);
  return proof.head.group;
}

function requireGroup(certificate: Certificate, id: Uint8Array): void {
  if (Buffer.compare(certificate.group, id) !== 0) {
    throw invalid('other-group', 'it was made by another group than the one trusted (name, founders, f or parameters)');
  }
}

function requireSignatures(certificate: Certificate, group: Group): void {
  const { signatures, epoch, query, statement } = certificate;
  const needed = weakQuorumOf(group);
  if (signatures.length > maxValidators) throw invalid('malformed', 'it has more signatures than there are validators');
  const signers = new Set(signatures.map(({ validator }) => validator));
  if (signers.size !== signatures.length) throw invalid('repeated-signature', 'a validator is counted twice');
  const foreign = [...signers].find((id) => !isValidator(group, id));
  if (foreign !== undefined) throw invalid('foreign-signature', `${foreign} is no validator of epoch ${epoch}`);
  if (signatures.length < needed) {
    throw invalid('too-few-signatures', `${signatures.length} of ${needed} needed signatures are there`);
  }
  const bytes = statementBytes(certificate.group, epoch, query, statement);
  const forged = signatures.find(({ validator, signature }) => !isSigned({ signer: validator, bytes, signature }));
  if (forged !== undefined) {
    throw invalid('forged-signature', `the signature of ${forged.validator} is not its own on this statement`);
  }
}

function isSigned({ signer, bytes, signature }: SignatureClaim): boolean {
  const key = keyOf(signer);
  return key !== undefined && signature.length === 64 && verifySignature(null, bytes, key, signature);
}

function keyOf(id: NodeId): KeyObject | undefined {
  const raw = publicKeyFromNodeId(id);
  return raw === undefined ? undefined : verifyKeyFromPublicKey(raw);
}

function invalid(reason: CertificateProblem, why: string): QuorateError {
  return new QuorateError(
    'CERTIFICATE_INVALID',
    `The certificate does not prove what it says: ${why}. Do not act on it; ask somebody else for another.`,
    { reason },
  );
}
