/**
 * Who decides: the validators of one epoch, and the constants all of them must share.
 *
 * An epoch is a span of sequence numbers with one validator set: epoch e rules the sequences above its
 * `since` up to the next epoch's. Every message names its epoch and every promise is made within one, so
 * (epoch, node id) is what is never reused: a node that was removed and comes back later shares nothing
 * with its former self.
 */
import { hash } from 'node:crypto';
import { QuorateError } from '../../errors.ts';
import { isNodeId, type NodeId } from '../../node-id.ts';
import { preparesNeeded, quorum, requireResilience, weakQuorum } from './quorum.ts';
import { Writer } from './wire.ts';

export interface Group {
  /** 0 for the founders; one more at each change. */
  readonly epoch: number;
  /** The last sequence of the epoch before; this one rules the sequences above. */
  readonly since: number;
  /** In an order that is part of the configuration: the primary of view v is number v mod n. */
  readonly validators: readonly NodeId[];
  /** How many of them may lie. */
  readonly f: number;
}

/** Constants of a group. All validators must use the same: they are hashed into the group's id. */
export interface GroupParameters {
  /** A checkpoint every so many batches. Each costs a snapshot, and each view change the certificates since. */
  readonly checkpointInterval: number;
  /** Batches beyond the last stable checkpoint that may be under way; a multiple of the interval, at least two. */
  readonly window: number;
  readonly maxBatchRequests: number;
  readonly maxBatchBytes: number;
  /** One signed bundle of a client's commands. */
  readonly maxRequestBytes: number;
  readonly maxCommands: number;
  /** Larger results are replaced by a refusal, the same at every replica. */
  readonly maxResultBytes: number;
  /** Clients remembered at once; the one unused for longest is forgotten first. */
  readonly maxSessions: number;
  /** Requests of one client that may be unacknowledged at once. */
  readonly sessionWindow: number;
  /** Cached replies of one session, in bytes; older ones are then forgotten (not executed again). */
  readonly maxSessionBytes: number;
  /** Size of the pieces in which state travels. */
  readonly chunkBytes: number;
  /** State larger than this cannot be transferred, so a replica that grows it stops. */
  readonly maxStateBytes: number;
}

export const defaultParameters: GroupParameters = {
  // A guess between snapshot cost and the size of view changes (128 certificates of n = 4 are 40 kB).
  checkpointInterval: 128,
  // Twice the interval, as in OSDI '99 section 4.3, so that work goes on while a checkpoint becomes stable.
  window: 256,
  maxBatchRequests: 256,
  maxBatchBytes: 1 << 20,
  maxRequestBytes: 256 << 10,
  maxCommands: 1024,
  maxResultBytes: 256 << 10,
  maxSessions: 4096,
  sessionWindow: 32,
  maxSessionBytes: 512 << 10,
  chunkBytes: 64 << 10,
  maxStateBytes: 256 << 20,
};

/** The founding group. Throws `INVALID_ARGUMENT` for ids that are none or repeat, and for n < 3f + 1. */
export function foundingGroup(validators: readonly NodeId[], f: number): Group {
  const problem = validatorsProblem(validators);
  if (problem !== undefined) {
    throw new QuorateError('INVALID_ARGUMENT', `These validators cannot form a group: ${problem}.`, { validators });
  }
  requireResilience(validators.length, f);
  return { epoch: 0, since: 0, validators: [...validators], f };
}

/** What is wrong with a list of validators, or undefined. */
export function validatorsProblem(validators: readonly NodeId[]): string | undefined {
  if (new Set(validators).size !== validators.length) return 'a validator is named twice';
  const wrong = validators.find((id) => !isNodeId(id));
  return wrong === undefined ? undefined : `'${wrong}' is not a node id`;
}

/** Throws `INVALID_OPTIONS` for parameters that could not work. */
export function requireParameters(parameters: GroupParameters): void {
  const { checkpointInterval, window } = parameters;
  const wrong = Object.entries(parameters).find(([, value]) => !Number.isSafeInteger(value) || value < 1);
  if (wrong !== undefined) {
    throw new QuorateError('INVALID_OPTIONS', `${wrong[0]} must be a whole number from 1 on, not ${wrong[1]}.`);
  }
  if (window % checkpointInterval !== 0 || window < 2 * checkpointInterval) {
    throw new QuorateError(
      'INVALID_OPTIONS',
      `window (${window}) must be a multiple of checkpointInterval (${checkpointInterval}) and at least twice it.`,
      { window, checkpointInterval },
    );
  }
}

/** The name under which everything of this group is signed; another group's signatures mean nothing here. */
export function groupId(name: string, founders: Group, parameters: GroupParameters): Uint8Array {
  const writer = new Writer().bytes(Buffer.from(`quorate/pbft/1/${name}`));
  writeGroup(writer, founders);
  for (const key of Object.keys(defaultParameters) as (keyof GroupParameters)[]) writer.uint(parameters[key]);
  return new Uint8Array(hash('sha256', writer.finish(), 'buffer'));
}

export function writeGroup(writer: Writer, group: Group): void {
  writer.uint(group.epoch).uint(group.since).uint(group.f);
  writer.list(group.validators, (w, id) => w.text(id));
}

export const primaryOf = (group: Group, view: number): NodeId =>
  group.validators[view % group.validators.length] as NodeId;
export const isValidator = (group: Group, id: NodeId): boolean => group.validators.includes(id);
export const quorumOf = (group: Group): number => quorum(group.validators.length, group.f);
export const weakQuorumOf = (group: Group): number => weakQuorum(group.f);
export const preparesNeededBy = (group: Group): number => preparesNeeded(group.validators.length, group.f);
