/**
 * The client table: each request of a client is executed at most once, and its reply can be asked for again
 * (OSDI '99 section 4.1, with a window in place of the single last timestamp, and sessions that are opened
 * by an ordered request as in Ongaro's thesis, section 6.3).
 *
 * Invariants: a request is executed only in the session it names, only above the session's acknowledged
 * number, and only if its number is not in `replies`. A forgotten session's id is never given out again, so
 * nothing signed for it can run a second time. The table is part of the replicated state: every replica
 * forgets the same session at the same sequence.
 */
import type { NodeId } from '../../node-id.ts';
import type { GroupParameters } from './group.ts';
import type { Request } from './messages.ts';
import { encodeOutcome, type Outcome } from './outcome.ts';
import type { Reader, Writer } from './wire.ts';

interface Session {
  readonly id: number;
  readonly incarnation: number;
  acknowledged: number;
  /** Executed above `acknowledged`, by number; an empty reply was dropped to save memory. */
  readonly replies: Map<number, Uint8Array>;
  replyBytes: number;
  /** Rises with every use; decides who is forgotten. */
  used: number;
}

export interface SessionTable {
  readonly sessions: Map<NodeId, Session>;
  /** The last id given out; also the count by which `used` rises. */
  counter: number;
  /** Of all sessions. */
  replyBytes: number;
}

export const createSessionTable = (): SessionTable => ({ sessions: new Map(), counter: 0, replyBytes: 0 });

const dropped = new Uint8Array(0);

/** Where a request stands before it is executed. */
export type Standing =
  /** Never executed, and it may be. */
  | { readonly kind: 'fresh' }
  /** Answered without executing anything; `result` is the encoded outcome. */
  | { readonly kind: 'answered'; readonly result: Uint8Array }
  | { readonly kind: 'unknown-session' };

const answered = (outcome: Outcome): Standing => ({ kind: 'answered', result: encodeOutcome(outcome) });

export function standingOf(table: SessionTable, request: Request, limits: GroupParameters): Standing {
  const session = table.sessions.get(request.client);
  if (request.operation.kind === 'open') {
    if (session === undefined || request.number > session.incarnation) return { kind: 'fresh' };
    if (request.number === session.incarnation) return answered({ kind: 'opened', session: session.id });
    return answered({ kind: 'no-session' });
  }
  if (session === undefined || session.id !== request.session) return { kind: 'unknown-session' };
  if (request.number <= session.acknowledged) return answered({ kind: 'acknowledged' });
  const reply = session.replies.get(request.number);
  if (reply !== undefined) {
    return reply.length === 0 ? answered({ kind: 'forgotten' }) : { kind: 'answered', result: reply };
  }
  const floor = Math.max(session.acknowledged, request.acknowledged);
  if (request.number > floor + limits.sessionWindow) return answered({ kind: 'beyond-window' });
  return { kind: 'fresh' };
}

/** Executes a request if it has not been, by `run`; gives the encoded outcome either way. */
export function executeOnce(
  table: SessionTable,
  request: Request,
  limits: GroupParameters,
  run: () => Outcome,
): Uint8Array {
  const standing = standingOf(table, request, limits);
  if (standing.kind === 'answered') return standing.result;
  if (standing.kind === 'unknown-session') return encodeOutcome({ kind: 'no-session' });
  if (request.operation.kind === 'open')
    return encodeOutcome({ kind: 'opened', session: open(table, request, limits) });
  const session = table.sessions.get(request.client) as Session;
  const before = session.replyBytes;
  acknowledge(session, request.acknowledged);
  const result = encodeOutcome(run());
  session.replies.set(request.number, result);
  session.replyBytes += result.length;
  session.used = ++table.counter;
  dropOldReplies(session, limits.maxSessionBytes);
  table.replyBytes += session.replyBytes - before;
  makeRoom(table, session, Math.floor(limits.maxStateBytes / 4));
  return result;
}

function open(table: SessionTable, request: Request, limits: GroupParameters): number {
  const { sessions } = table;
  if (!sessions.has(request.client) && sessions.size >= limits.maxSessions) {
    let oldest: NodeId | undefined;
    let used = Number.POSITIVE_INFINITY;
    for (const [client, session] of sessions) {
      if (session.used < used) [oldest, used] = [client, session.used];
    }
    if (oldest !== undefined) close(table, oldest);
  }
  close(table, request.client);
  const id = ++table.counter;
  sessions.set(request.client, {
    id,
    incarnation: request.number,
    acknowledged: 0,
    replies: new Map(),
    replyBytes: 0,
    used: id,
  });
  return id;
}

function close(table: SessionTable, client: NodeId): void {
  table.replyBytes -= table.sessions.get(client)?.replyBytes ?? 0;
  table.sessions.delete(client);
}

function acknowledge(session: Session, number: number): void {
  if (number <= session.acknowledged) return;
  session.acknowledged = number;
  for (const [replied, result] of session.replies) {
    if (replied > number) continue;
    session.replies.delete(replied);
    session.replyBytes -= result.length;
  }
}

/** Drops replies in the order of execution, never the newest; the numbers stay, so nothing runs twice. */
function dropOldReplies(session: Session, maxBytes: number): void {
  let left = session.replies.size - 1;
  for (const [number, result] of session.replies) {
    if (session.replyBytes <= maxBytes || left-- <= 0) return;
    session.replyBytes -= result.length;
    session.replies.set(number, dropped);
  }
}

/**
 * All replies together may take a quarter of the state, or many clients could make it too large for the group, each within its own bound. Down to half of that
 * at once, those of the longest unused sessions first.
 */
function makeRoom(table: SessionTable, current: Session, maxBytes: number): void {
  if (table.replyBytes <= maxBytes) return;
  const byUse = [...table.sessions.values()].sort((a, b) => a.used - b.used);
  for (const session of byUse) {
    if (table.replyBytes <= maxBytes / 2) return;
    if (session === current) continue;
    table.replyBytes -= session.replyBytes;
    session.replyBytes = 0;
    for (const number of session.replies.keys()) session.replies.set(number, dropped);
  }
}

/** Sorted by client, and replies in order of execution, so that equal tables give equal bytes. */
export function writeSessions(w: Writer, table: SessionTable): void {
  const sorted = [...table.sessions].sort(([a], [b]) => (a < b ? -1 : 1));
  w.uint(table.counter).list(sorted, (one, [client, session]) => {
    one.text(client).uint(session.id).uint(session.incarnation).uint(session.acknowledged).uint(session.used);
    one.list([...session.replies], (inner, [number, result]) => inner.uint(number).bytes(result));
  });
}

export function readSessions(r: Reader, limits: GroupParameters): SessionTable {
  const table: SessionTable = { ...createSessionTable(), counter: r.uint() };
  const maxReply = Number.MAX_SAFE_INTEGER;
  const entries = r.list(limits.maxSessions, (one) => {
    const client = one.text(64) as NodeId;
    const [id, incarnation, acknowledged, used] = [one.uint(), one.uint(), one.uint(), one.uint()];
    const replies = new Map(
      one.list(limits.sessionWindow * 2, (inner) => [inner.uint(), inner.bytes(maxReply)] as const),
    );
    let replyBytes = 0;
    for (const result of replies.values()) replyBytes += result.length;
    return [client, { id, incarnation, acknowledged, used, replies, replyBytes }] as const;
  });
  for (const [client, session] of entries) {
    table.sessions.set(client, session);
    table.replyBytes += session.replyBytes;
  }
  return table;
}
