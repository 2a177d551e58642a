/** Records as applications see them: values decoded, votes added up. And decisions that somebody else certified. */
import * as v from 'valibot';
import { decodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { type CertificateTrust, verifyCertificate } from '../certificates/verify.ts';
import { type ProposalRecord, readRecord } from './commands.ts';
import type { Decision, DecisionOutcome, Proposal, Tally, Vote } from './proposals.ts';
import { count } from './tally.ts';

export function toProposal(record: ProposalRecord): Proposal {
  const { id, proposer, rule, zones, openedAt, deadlineAt } = record;
  const participants = record.participants.map(({ vote: _, ...participant }) => participant);
  const proposal = decode(record.proposal);
  return { id, proposer, proposal, participants, rule, zones, openedAt, deadlineAt, votes: votesOf(record) };
}

/** What a decision says without being able to prove it. */
export type Decided<Chosen = Value> = Omit<Decision<Chosen>, 'certificate'>;

/** Undefined while the proposal is open. */
export function toDecided(record: ProposalRecord): Decided | undefined {
  const { id, state, decidedAt } = record;
  if (state === 'open' || decidedAt === undefined) return undefined;
  const outcome: DecisionOutcome = state;
  const accepted = outcome === 'accepted';
  return {
    id,
    accepted,
    outcome,
    value: accepted ? decode(record.value ?? record.proposal) : undefined,
    votes: votesOf(record),
    missing: record.participants.filter(({ vote }) => vote === undefined).map(({ agent }) => agent),
    tally: tallyOf(record),
    decidedAt,
  };
}

function votesOf({ participants, proposal }: ProposalRecord): Vote[] {
  const asItIs = decode(proposal);
  return participants.flatMap(({ agent, node, vote }) => {
    if (vote === undefined) return [];
    const value = vote.value === undefined ? asItIs : decode(vote.value);
    const { accept, at, reason } = vote;
    return [{ agent, node, accept, value: accept ? value : undefined, reason, at }];
  });
}

function tallyOf(record: ProposalRecord): Tally {
  const { choices, ...rest } = count(record);
  return {
    ...rest,
    choices: choices
      .toSorted((a, b) => b.count - a.count)
      .map((choice) => ({
        value: decode(choice.value ?? record.proposal),
        count: choice.count,
        agents: choice.seats.map(({ agent }) => agent),
      })),
  };
}

function decode(bytes: Uint8Array): Value {
  const decoded = decodeValue(bytes);
  if (decoded.ok) return decoded.value;
  throw new QuorateError('WRONG_VERSION', 'The validators took a value that this version does not understand.');
}

/** A decision as its certificate proves it. */
export interface CertifiedDecision<Chosen = Value> extends Decided<Chosen> {
  readonly proposal: Proposal<Chosen>;
  /** The validators that stand for it, and the number of changes of validators since the founders. */
  readonly signers: readonly NodeId[];
  readonly epoch: number;
}

const querySchema = v.strictObject({ kind: v.literal('proposals.decision'), id: v.string() });

/**
 * The decision that a certificate proves to whoever trusts these validators. Asks nobody.
 *
 * Throws `CERTIFICATE_INVALID` when it proves nothing (`data.reason` as for `verifyCertificate`), or something else than a decision
 * (`not-a-decision`).
 *
 * @example
 * const { id, accepted, value } = verifyDecision(certificate, { name: 'prod', validators: founders, f: 1 });
 */
export function verifyDecision<Chosen = Value>(
  certificate: Certificate,
  trust: CertificateTrust,
): CertifiedDecision<Chosen> {
  const { query, statement, signers, epoch } = verifyCertificate(certificate, trust);
  const asked = v.safeParse(querySchema, query);
  const record = readRecord(statement);
  const decided = record === undefined ? undefined : toDecided(record);
  if (!asked.success || record === undefined || decided === undefined || asked.output.id !== decided.id) {
    throw new QuorateError(
      'CERTIFICATE_INVALID',
      'The certificate is sound, and proves something else than a decision. Ask for that of the decision.',
      { reason: 'not-a-decision' },
    );
  }
  const proposal = toProposal(record);
  // What a program expects of the values is its own to check, as with every value from elsewhere.
  return { ...decided, proposal, signers, epoch } as CertifiedDecision<Chosen>;
}
