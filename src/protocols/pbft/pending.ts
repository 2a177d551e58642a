/**
 * Requests that wait to be ordered, fair between clients.
 *
 * Batches take from the clients in turn, one request each per round, so a client that floods waits behind
 * itself only. A client may have at most a session's window of calls here, one open, and one request for a
 * session this replica does not know. Only a client's head ages, from when it became the head, so a client
 * with a long queue cannot make a correct primary look slow (BFT-SMaRt 435333bb); and requests for unknown
 * sessions never age, since inventing them is free.
 */
import type { NodeId } from '../../node-id.ts';
import type { GroupParameters } from './group.ts';
import type { Request } from './messages.ts';
import { type SessionTable, type Standing, standingOf } from './sessions.ts';

interface PendingRequest {
  readonly request: Request;
  /** Part of a batch of the present view. */
  proposed: boolean;
}

interface ClientQueue {
  readonly client: NodeId;
  readonly requests: Map<'open' | 'stray' | number, PendingRequest>;
  /** Monotonic time since which its head waits. */
  headSince: number;
}

export interface Pending {
  /** In the order in which their turn comes. */
  readonly clients: Map<NodeId, ClientQueue>;
  count: number;
  bytes: number;
}

export interface PendingLimits {
  readonly maxPending: number;
  readonly maxPendingBytes: number;
}

export const createPending = (): Pending => ({ clients: new Map(), count: 0, bytes: 0 });

/** Takes a request in. False when it was not taken: known already, no room, or answered by `standing`. */
export function admit(
  pending: Pending,
  request: Request,
  standing: Standing,
  limits: PendingLimits,
  now: number,
): boolean {
  if (standing.kind === 'answered') return false;
  const key = keyOf(request, standing);
  const queue = pending.clients.get(request.client);
  const known = queue?.requests.get(key);
  // A later incarnation's open takes the place of an earlier one; anything else is first come, first kept.
  if (known !== undefined && !(key === 'open' && request.number > known.request.number)) return false;
  if (known !== undefined) remove(pending, queue as ClientQueue, key);
  const full = pending.count >= limits.maxPending || pending.bytes + request.bytes.length > limits.maxPendingBytes;
  if (full) return false;
  const into = queue ?? { client: request.client, requests: new Map(), headSince: now };
  if (into.requests.size === 0) into.headSince = now;
  into.requests.set(key, { request, proposed: false });
  pending.clients.set(request.client, into);
  pending.count++;
  pending.bytes += request.bytes.length;
  return true;
}

function keyOf(request: Request, standing: Standing): 'open' | 'stray' | number {
  if (request.operation.kind === 'open') return 'open';
  return standing.kind === 'unknown-session' ? 'stray' : request.number;
}

function remove(pending: Pending, queue: ClientQueue, key: 'open' | 'stray' | number): void {
  const entry = queue.requests.get(key);
  if (entry === undefined) return;
  queue.requests.delete(key);
  pending.count--;
  pending.bytes -= entry.request.bytes.length;
}

/** The next batch's requests: one of each client in turn until the limits are reached. */
export function takeRequests(pending: Pending, limits: GroupParameters): Request[] {
  const queues: { client: NodeId; waiting: PendingRequest[] }[] = [];
  for (const [client, queue] of pending.clients) {
    const waiting = [...queue.requests.values()].filter((entry) => !entry.proposed);
    if (waiting.length > 0)
      queues.push({ client, waiting: waiting.sort((a, b) => a.request.number - b.request.number) });
  }
  const taken: Request[] = [];
  let bytes = 16;
  for (let round = 0; ; round++) {
    let any = false;
    for (const { client, waiting } of queues) {
      const entry = waiting[round];
      if (entry === undefined) continue;
      const size = entry.request.bytes.length + 8;
      if (taken.length >= limits.maxBatchRequests || bytes + size > limits.maxBatchBytes) return taken;
      any = true;
      bytes += size;
      entry.proposed = true;
      taken.push(entry.request);
      moveToEnd(pending, client);
    }
    if (!any) return taken;
  }
}

function moveToEnd(pending: Pending, client: NodeId): void {
  const queue = pending.clients.get(client) as ClientQueue;
  pending.clients.delete(client);
  pending.clients.set(client, queue);
}

/** Marks what is in a batch of the present view, so that it is not proposed again in it. */
export function markProposed(pending: Pending, requests: readonly Request[]): void {
  for (const { client, number, operation } of requests) {
    const queue = pending.clients.get(client);
    const entry = queue?.requests.get(operation.kind === 'open' ? 'open' : number);
    if (entry?.request.number === number) entry.proposed = true;
  }
}

/** Forgets what `executed` settled, by session and number: two contents under one number are one request. */
export function settle(
  pending: Pending,
  executed: readonly Request[],
  sessions: SessionTable,
  parameters: GroupParameters,
  now: number,
): void {
  for (const request of executed) {
    const queue = pending.clients.get(request.client);
    if (queue !== undefined) settleClient(pending, queue, request, sessions, parameters, now);
  }
}

/** After state transfer anything may have been settled. */
export function settleAll(pending: Pending, sessions: SessionTable, parameters: GroupParameters, now: number): void {
  for (const queue of pending.clients.values()) settleClient(pending, queue, undefined, sessions, parameters, now);
}

function settleClient(
  pending: Pending,
  queue: ClientQueue,
  executed: Request | undefined,
  sessions: SessionTable,
  parameters: GroupParameters,
  now: number,
): void {
  queue.headSince = now;
  for (const [key, entry] of queue.requests) {
    const { request } = entry;
    const standing = standingOf(sessions, request, parameters);
    const same = request.session === executed?.session && request.number === executed.number;
    if (same || standing.kind === 'answered' || (standing.kind === 'unknown-session' && key !== 'stray')) {
      remove(pending, queue, key);
    } else if (key === 'stray' && standing.kind === 'fresh') {
      queue.requests.delete(key);
      queue.requests.set(request.number, entry);
    }
  }
  if (queue.requests.size === 0) pending.clients.delete(queue.client);
}

/** A new view begins: everything may be proposed again, and everybody's patience starts anew. */
export function startOver(pending: Pending, now: number): void {
  for (const queue of pending.clients.values()) {
    queue.headSince = now;
    for (const entry of queue.requests.values()) entry.proposed = false;
  }
}

/** Since when the client that waits longest waits, or undefined. */
export function waitingSince(pending: Pending): number | undefined {
  let earliest: number | undefined;
  for (const queue of pending.clients.values()) {
    const aging = queue.requests.size - (queue.requests.has('stray') ? 1 : 0);
    if (aging === 0) continue;
    if (earliest === undefined || queue.headSince < earliest) earliest = queue.headSince;
  }
  return earliest;
}

/** Each client's first request: those no batch of the view holds, or all of them. */
export function heads(pending: Pending, limit: number, all = false): Request[] {
  const first: Request[] = [];
  for (const queue of pending.clients.values()) {
    if (first.length >= limit) break;
    for (const [key, entry] of queue.requests) {
      if (key === 'stray' || (entry.proposed && !all)) continue;
      first.push(entry.request);
      break;
    }
  }
  return first;
}
