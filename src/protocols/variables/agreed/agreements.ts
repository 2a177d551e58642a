/**
 * Port: values that the validators have put in order (`sync: 'strong'`, `coordinate`). What is said here is asked for by the variables, and done by
 * `MapAgreements` over an ordered map.
 */
import type { Value } from '../../../value.ts';
import type { OrderingOptions } from '../../coordination/ordering.ts';

/** Which definition a value belongs to. */
export interface AgreedDefinition {
  readonly version: number;
  /** Short digest of what nodes compare of a definition; 1 to 64 characters. */
  readonly digest: string;
}

export interface Proposal {
  readonly value: Value;
  readonly definition: AgreedDefinition;
  /** Hybrid logical stamp of the proposer: contributions up to it count no more. */
  readonly at: number;
  /** Only if this is the version agreed on last; 0: only if nothing is. Undefined: whatever was agreed on before. */
  readonly ifVersion?: number | undefined;
}

/** Well-formed, with a stamp that is not too far ahead; whether the value is in bounds is its reader's to check. */
export interface Agreed {
  readonly value: Value;
  readonly definition: AgreedDefinition;
  readonly at: number;
  /** Rises with every agreement on this name; never 0. */
  readonly version: number;
}

export interface AgreementListener {
  /**
   * Does it fit the definition here (digest, version, bounds)? One that does not is void, which is as if nothing were agreed on. Pure; also asked by `propose`, for what it
   * meets in its place.
   */
  accepts(agreed: Agreed): boolean;
  /** What is agreed on from now on, in order, never twice; undefined when it was void or deleted. Not told while nothing has ever been agreed on. */
  onAgreed(agreed: Agreed | undefined): void;
}

export interface Agreements {
  /**
   * One ordered command. When it resolves, the listener of the name here has been told of it. Throws `CONFLICT` (`data.actual`: the version it met),
   * `NO_VALIDATORS`, `NO_QUORUM`, `UNKNOWN_OUTCOME`, `PAYLOAD_TOO_LARGE`, `LIMIT_EXCEEDED`, `STOPPED`, or the reason of `signal`.
   */
  propose(name: string, proposal: Proposal, options?: OrderingOptions): Promise<{ readonly version: number }>;
  /** Hears what is agreed on under the name, beginning with what is already; one listener per name. It outlasts times without validators. */
  follow(name: string, listener: AgreementListener): () => void;
  /** The last one told, or proposed from here, that is not void. */
  current(name: string): Agreed | undefined;
}
