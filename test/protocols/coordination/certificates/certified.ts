/** Groups with real keys, what they certify, and how they change: material for tests of verification. */
import { encodeValue } from '../../../../src/codec.ts';
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import { encodePayload } from '../../../../src/payload.ts';
import type { Certificate } from '../../../../src/protocols/coordination/certificates/certificate.ts';
import { statementBytes } from '../../../../src/protocols/coordination/certificates/statement.ts';
import type { GroupTrust } from '../../../../src/protocols/coordination/certificates/verify.ts';
import { defineGroup } from '../../../../src/protocols/coordination/group/definition.ts';
import { headDigest, writeProof } from '../../../../src/protocols/pbft/encoding.ts';
import type { Group } from '../../../../src/protocols/pbft/group.ts';
import { type CheckpointProof, checkpointBytes } from '../../../../src/protocols/pbft/messages.ts';
import { Writer } from '../../../../src/protocols/pbft/wire.ts';

/** The same key at every run. */
export const identity = (index: number): Identity => createIdentity(new Uint8Array(32).fill(index + 1));
export const ids = (...indexes: number[]) => indexes.map((index) => identity(index).id);

const keys = new Map(Array.from({ length: 12 }, (_, index) => [identity(index).id, identity(index)]));

export const trust: GroupTrust = { name: 'demo', validators: ids(0, 1, 2, 3), f: 1 };
/** As the nodes of a mesh found it: what is checked here is what they make. */
const { founders, id: group } = defineGroup(trust.name, trust.validators, trust.f);

export { founders };

/** The checkpoint that ends an epoch and names the next validators, signed by `signers` of those before. */
export function succession(
  before: Group,
  next: Pick<Group, 'validators' | 'f'>,
  signers: readonly number[],
  id = group,
): { readonly bytes: Uint8Array; readonly proof: CheckpointProof; readonly group: Group } {
  const seq = before.since + 256;
  const after: Group = { ...next, epoch: before.epoch + 1, since: seq };
  const head = { seq, root: '11'.repeat(32), bytes: 100, group: after };
  const signed = checkpointBytes(id, before.epoch, seq, headDigest(head));
  const votes = signers.map((index) => ({ replica: identity(index).id, signature: identity(index).sign(signed) }));
  const proof: CheckpointProof = { epoch: before.epoch, head, votes };
  return { bytes: encodeProof(proof), proof, group: after };
}

export function encodeProof(proof: CheckpointProof): Uint8Array {
  const writer = new Writer();
  writeProof(writer, proof);
  return writer.finish();
}

export interface Making {
  readonly signers?: readonly number[];
  readonly epoch?: number;
  readonly query?: unknown;
  readonly statement?: unknown;
  readonly succession?: readonly Uint8Array[];
  readonly group?: Uint8Array;
}

export function certificate(making: Making = {}): Certificate {
  const { signers = [0, 1], epoch = 0, query = { kind: 'x.y' }, statement = { it: 'is' } } = making;
  const fields = {
    group: making.group ?? group,
    epoch,
    query: encodePayload(query, 1 << 16),
    statement: encodeValue(statement),
  };
  const certificate: Certificate = { ...fields, signatures: [], succession: making.succession ?? [] };
  return { ...certificate, signatures: signers.map((index) => signatureOf(index, certificate)) };
}

/** The signature of that validator on what the certificate says now. */
export function signatureOf(index: number, { group: id, epoch, query, statement }: Certificate) {
  const { id: validator } = identity(index);
  const signature = keys.get(validator)?.sign(statementBytes(id, epoch, query, statement)) ?? new Uint8Array();
  return { validator, signature };
}
