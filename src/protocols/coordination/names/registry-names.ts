/** Exclusive names as the registry wants them: with a proof that travels with the record. */
import { decodeValue } from '../../../codec.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { decodePayload } from '../../../payload.ts';
import type { AgentId } from '../../../value.ts';
import type { Group } from '../../pbft/group.ts';
import type { ExclusiveName, ExclusiveNames } from '../../registry/exclusive-names.ts';
import { decodeCertificate, encodeCertificate } from '../certificates/certificate-codec.ts';
import { verifyCertificate } from '../certificates/verify.ts';
import type { Names } from './names.ts';

/** The validators of all epochs that a node has seen proved. */
export interface KnownGroup {
  readonly id: Uint8Array;
  /** The last epoch known. */
  readonly epoch: number;
  groupAt(epoch: number): Group | undefined;
}

export class RegistryNames implements ExclusiveNames {
  readonly #names: Names;
  readonly #group: () => KnownGroup | undefined;

  /** `group`: undefined while this node knows none. */
  constructor(names: Names, group: () => KnownGroup | undefined) {
    this.#names = names;
    this.#group = group;
  }

  async claim(
    id: AgentId,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  ): Promise<ExclusiveName> {
    const { token, signal } = await this.#names.claim(id, options);
    try {
      const certificate = await this.#names.certify(id, token, options);
      // Members know who ruled when; the way there would make the proof longer with every change of validators.
      const proof = encodeCertificate({ ...certificate, succession: [] });
      return { token, proof, signal };
    } catch (error) {
      await this.release(id);
      if (!isQuorateError(error, 'NO_QUORUM')) throw error;
      const why = `'${id}' was granted, and too few validators signed the proof in time: ${error.message} It is given back, or ends with the lease.`;
      throw new QuorateError('UNKNOWN_OUTCOME', why, { ...error.data, id, reason: 'unproved' }, { cause: error });
    }
  }

  async release(id: AgentId): Promise<void> {
    try {
      await this.#names.release(id);
    } catch {
      // The claim counts as lost here, and is given back with a later renewal or when the lease ends.
    }
  }

  verify(id: AgentId, node: NodeId, token: number, proof: Uint8Array): boolean | undefined {
    const known = this.#group();
    if (known === undefined) return undefined;
    try {
      const certificate = decodeCertificate(proof);
      // What it speaks of is read first: the proof of another grant, which anybody can copy, costs no check of signatures.
      const query = decodePayload(certificate.query);
      const statement = decodeValue(certificate.statement);
      const fits = query.ok && asks(query.value, id, token) && statement.ok && grants(statement.value, id, node, token);
      if (!fits) return false;
      if (certificate.epoch > known.epoch) return undefined; // Validators that this node has not heard of yet.
      const epoch = known.groupAt(certificate.epoch);
      if (epoch === undefined) return undefined;
      verifyCertificate(certificate, { id: known.id, epoch });
      return true;
    } catch {
      return false; // Whatever is wrong with it, it proves nothing.
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** The statement answers the question for this grant, and not another that has the same look. */
function asks(query: unknown, id: AgentId, token: number): boolean {
  const fields = fieldsOf(query);
  return fields['kind'] === 'names.grant' && fields['id'] === id && fields['token'] === token;
}

function grants(statement: unknown, id: AgentId, node: NodeId, token: number): boolean {
  const fields = fieldsOf(statement);
  return fields['id'] === id && fields['node'] === node && fields['token'] === token;
}
