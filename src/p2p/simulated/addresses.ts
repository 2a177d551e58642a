/** Addresses of the simulated network, `/memory/<host>/p2p/<id>`, and what can be wrong with dialling them. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';

export function parseAddress(address: string): { host: string; id: NodeId | undefined } {
  const match = /^\/memory\/([^/]+)(?:\/p2p\/([^/]+))?$/.exec(address);
  if (match?.[1] === undefined) {
    throw new QuorateError('INVALID_ARGUMENT', `"${address}" is no address of the simulated network.`, { address });
  }
  return { host: match[1], id: match[2] as NodeId | undefined };
}

export function unreachable(address: string, why: string): QuorateError {
  return new QuorateError('PEER_UNREACHABLE', `${address} cannot be reached: ${why}.`, { address, why });
}

export function notConnected(peer: NodeId): QuorateError {
  return new QuorateError('PEER_UNREACHABLE', `${peer} is not connected. Connect to it first.`, { peer });
}

export function ownAddress(address: string): QuorateError {
  return new QuorateError('INVALID_ARGUMENT', `${address} is this node itself.`, { address, self: true });
}

export function stopped(): QuorateError {
  return new QuorateError('STOPPED', 'This network is not running.');
}
