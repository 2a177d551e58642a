/** From what was seen of a failed dial to the one coded error that says what happened and what to do. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { nonceBytes } from './network-key.ts';
import { DialFailure, type Observation } from './transport.ts';

export interface DialCircumstances {
  readonly address: string;
  readonly keyed: boolean;
  readonly self: NodeId;
  /** True when our own listener met our own dial at the other end. */
  readonly reachedOurselves: boolean;
}

export function dialError(error: unknown, circumstances: DialCircumstances): QuorateError {
  const { address, keyed } = circumstances;
  const observation = error instanceof DialFailure ? error.observation : undefined;
  const cause = error instanceof DialFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/dial self/i.test(message)) {
    return circumstances.reachedOurselves ? ownAddress(address) : identityInUse(address, circumstances.self);
  }
  if (observation?.connected !== true) return unreachable(address, connectReason(cause, message), cause);
  if (keysDiffer(observation, keyed)) return wrongNetworkKey(address, keyed, cause);
  if (looksLikeText(observation.first)) return unreachable(address, 'what listens there is no libp2p node', cause);
  if (/unexpected|invalid peer id|does not match/i.test(message)) {
    return unreachable(address, 'another node answered than the one in the address', cause);
  }
  return unreachable(address, `the connection could not be secured (${message})`, cause);
}

/** Whether an inbound connection failed for its key; with the words for the log. */
export function inboundFailure(error: unknown, observation: Observation, keyed: boolean): string {
  if (keysDiffer(observation, keyed)) return 'WRONG_NETWORK_KEY: a connection with another network key, or without one';
  if (observation.wrongKey) return 'a connection that does not speak libp2p';
  return `a connection that could not be secured (${error instanceof Error ? error.message : String(error)})`;
}

function keysDiffer(observation: Observation, keyed: boolean): boolean {
  if (observation.wrongKey) return !looksLikeText(observation.first) || keyed;
  // Nonces were exchanged, and then the peer hung up on our first encrypted bytes.
  return keyed && observation.received() === nonceBytes;
}

/** 24 random bytes that are all printable are rarer than any other mistake. */
function looksLikeText(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
}

function connectReason(cause: unknown, message: string): string {
  const { code } = (cause ?? {}) as { readonly code?: unknown };
  if (code === 'ECONNREFUSED') return 'nobody listens there (connection refused)';
  return message;
}

export function unreachable(address: string, why: string, cause?: unknown): QuorateError {
  return new QuorateError('PEER_UNREACHABLE', `${address} cannot be reached: ${why}.`, { address, why }, { cause });
}

export function ownAddress(address: string): QuorateError {
  return new QuorateError('INVALID_ARGUMENT', `${address} is an address of this node itself.`, { address, self: true });
}

function identityInUse(address: string, self: NodeId): QuorateError {
  return new QuorateError(
    'IDENTITY_IN_USE',
    `The node at ${address} answers with this node's own identity ${self}. Stop one of the two, or give each its own data directory and thereby its own key.`,
    { address, peer: self },
  );
}

function wrongNetworkKey(address: string, keyed: boolean, cause: unknown): QuorateError {
  return new QuorateError(
    'WRONG_NETWORK_KEY',
    `The node at ${address} ${keyed ? 'has another network key, or none' : 'has a network key, and this one has none'}. Give all nodes of a mesh the same networkKey.`,
    { address },
    { cause },
  );
}
