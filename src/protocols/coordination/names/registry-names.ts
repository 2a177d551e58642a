/** Exclusive names as the registry wants them: with a proof that travels with the record. */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { ExclusiveName, ExclusiveNames } from '../../registry/exclusive-names.ts';
import { decodeCertificate, encodeCertificate } from '../certificates/certificate-codec.ts';
import { type CertificateTrust, verifyCertificate } from '../certificates/verify.ts';
import type { Names } from './names.ts';

export class RegistryNames implements ExclusiveNames {
  readonly #names: Names;
  readonly #trust: () => CertificateTrust | undefined;

  /** `trust`: the group that this node believes, undefined while it knows none. */
  constructor(names: Names, trust: () => CertificateTrust | undefined) {
    this.#names = names;
    this.#trust = trust;
  }

  async claim(
    id: AgentId,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  ): Promise<ExclusiveName> {
    const { token, signal } = await this.#names.claim(id, options);
    try {
      const proof = encodeCertificate(await this.#names.certify(id, token, options));
      return { token, proof, signal };
    } catch (error) {
      await this.release(id);
      throw error;
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
    const trust = this.#trust();
    if (trust === undefined) return undefined;
    try {
      const { query, statement } = verifyCertificate(decodeCertificate(proof), trust);
      return asks(query, id, token) && grants(statement, id, node, token);
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
