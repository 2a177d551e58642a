/** Gathers certificates: asks all validators what they state, and puts together what enough of them signed alike. */
import type { Clock } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { SignatureVerifier } from '../../pbft/driver/verifier.ts';
import { type Group, weakQuorumOf } from '../../pbft/group.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { statementBytes } from '../certificates/statement.ts';
import { verifyCertificate } from '../certificates/verify.ts';
import type { GroupDefinition } from './definition.ts';
import type { GroupFrame } from './frames.ts';
import { Questions } from './questions.ts';

type Certified = Extract<GroupFrame, { type: 'certified' }>;

/** Validators execute a moment apart, so who has just heard of a result may ask some that have not: asked again for so long, this often. Milliseconds. */
const settleMs = 500;
const againMs = 25;

export class Certifier {
  readonly #clock: Clock;
  readonly #verifier: SignatureVerifier;
  readonly #ask: (group: Group, frame: GroupFrame) => void;
  readonly #questions: Questions<Certified>;

  constructor(clock: Clock, verifier: SignatureVerifier, ask: (group: Group, frame: GroupFrame) => void) {
    this.#clock = clock;
    this.#verifier = verifier;
    this.#ask = ask;
    this.#questions = new Questions(clock);
  }

  /** Rejects with `NOT_SETTLED`, `NO_QUORUM`, or the reason of `signal`. */
  async certify(
    definition: GroupDefinition,
    group: Group,
    query: Uint8Array,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Certificate> {
    const needed = weakQuorumOf(group);
    const began = this.#clock.now();
    for (;;) {
      const spent = this.#clock.now() - began;
      const { result, answers } = await this.#questions.put(
        group.validators,
        (id) => this.#ask(group, { type: 'certify', id, query }),
        (given) => assemble(definition, query, given, needed, this.#verifier),
        { timeoutMs: Math.max(1, options.timeoutMs - spent), signal: options.signal },
      );
      if (result !== undefined) return result;
      const open = [...answers.values()].filter(({ statement }) => statement === undefined).length;
      if (open < needed) throw tooFew(group, needed, answers);
      const someHaveIt = open < answers.size;
      if (!someHaveIt || spent >= Math.min(settleMs, options.timeoutMs)) throw notSettled();
      await new Promise<void>((resolve) => void this.#clock.after(againMs, resolve));
    }
  }

  /** False for an answer that nobody asked this validator for. */
  onCertified(from: NodeId, frame: Certified): boolean {
    return this.#questions.answer(from, frame.id, frame);
  }
}

/**
 * A certificate out of what the validators said, or undefined. Liars may be among them: bad signatures are left out, and of the ways from the founders that were
 * shown the first that proves it is taken.
 */
function assemble(
  definition: GroupDefinition,
  query: Uint8Array,
  answers: ReadonlyMap<NodeId, Certified>,
  needed: number,
  verifier: SignatureVerifier,
): Certificate | undefined {
  for (const { epoch, statement, succession } of answers.values()) {
    if (statement === undefined) continue;
    const bytes = statementBytes(definition.id, epoch, query, statement);
    const signatures: { validator: NodeId; signature: Uint8Array }[] = [];
    for (const [validator, { epoch: theirs, statement: said, signature }] of answers) {
      const same = theirs === epoch && said !== undefined && Buffer.compare(said, statement) === 0;
      if (same && signature !== undefined && verifier.verify({ signer: validator, bytes, signature })) {
        signatures.push({ validator, signature });
      }
    }
    if (signatures.length < needed) continue;
    const enough = signatures.slice(0, needed);
    const certificate = { group: definition.id, epoch, query, statement, signatures: enough, succession };
    if (isProven(certificate, definition)) return certificate;
  }
  return undefined;
}

function isProven(certificate: Certificate, { name, founders, parameters }: GroupDefinition): boolean {
  try {
    verifyCertificate(certificate, { name, validators: founders.validators, f: founders.f, parameters });
    return true;
  } catch {
    return false; // A liar's way from the founders; another validator shows a true one.
  }
}

function notSettled(): QuorateError {
  return new QuorateError('NOT_SETTLED', 'There is nothing to certify yet: the result is open, or unknown.');
}

function tooFew(group: Group, needed: number, answers: ReadonlyMap<NodeId, Certified>): QuorateError {
  const silent = group.validators.filter((id) => !answers.has(id));
  return new QuorateError(
    'NO_QUORUM',
    `A certificate needs ${needed} equal signatures; ${silent.join(', ') || 'nobody'} did not answer.`,
    { validators: group.validators, f: group.f, needed, answering: [...answers.keys()], silent },
  );
}
