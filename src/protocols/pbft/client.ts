/**
 * A client's side of the protocol, pure like the replica's: `stepClient(state, input, now) → effects`.
 *
 * Intuition: commands submitted while others are under way are bundled into one signed request. A result
 * counts once f + 1 validators report it alike, since one of them is honest. Requests go to the primary
 * first and, unanswered, to everybody, so that a primary which ignores them is noticed.
 *
 * Invariants: a number is used for one content only; at most a session's window of requests is outstanding;
 * a command given up at its deadline is acknowledged, so that if it has not run by then it never will run
 * later than the next request, and its outcome is reported as unknown.
 */
import type { NodeId } from '../../node-id.ts';
import {
  type ClientEffect,
  type ClientInput,
  type ClientOptions,
  type CommandOutcome,
  defaultClientOptions,
} from './client-contract.ts';
import type { Now } from './effects.ts';
import { requestBody, requestBytes } from './encoding.ts';
import { type Group, type GroupParameters, primaryOf, quorumOf, weakQuorumOf } from './group.ts';
import {
  bodyBytes,
  type CatchUp,
  type Digest,
  digestOf,
  type Operation,
  type ReadReply,
  type Reply,
  type Request,
} from './messages.ts';
import { decodeOutcome, type Outcome } from './outcome.ts';
import type { Accepted, ValidationContext } from './validate.ts';

interface Queued {
  readonly id: number;
  readonly operation: Extract<Operation, { kind: 'reconfigure' }> | Uint8Array;
  readonly deadline: number;
}

interface Outstanding {
  readonly request: Request;
  readonly ids: readonly number[];
  readonly deadline: number;
  readonly replies: Map<NodeId, Digest>;
  retryAt: number;
  retries: number;
}

interface OutstandingRead {
  readonly number: number;
  readonly id: number;
  readonly ordered: Uint8Array | undefined;
  readonly replies: Map<NodeId, Digest>;
  readonly deadline: number;
  readonly orderAt: number;
}

export interface ClientState {
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly options: ClientOptions;
  readonly context: ValidationContext & { readonly groups: Map<number, Group> };
  group: Group;
  /** The last view each validator spoke of. */
  readonly views: Map<NodeId, number>;
  incarnation: number;
  /** How far to raise the incarnation when it was too low: doubled each time, so that a clock set back by a day costs a few tries. */
  incarnationStep: number;
  session: number | undefined;
  nextNumber: number;
  queue: Queued[];
  readonly outstanding: Map<number, Outstanding>;
  opening: Outstanding | undefined;
  readonly reads: Map<number, OutstandingRead>;
  nextRead: number;
  askedEpochAt: number;
}

export interface ClientSetup {
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly context: ValidationContext & { readonly groups: Map<number, Group> };
  /** The validators as this client knows them; later ones are learnt by proof. */
  readonly group: Group;
  /** Higher at each start of this client than at all before; the wall clock will do. */
  readonly incarnation: number;
  readonly options?: Partial<ClientOptions>;
}

export function createClient(setup: ClientSetup): ClientState {
  return {
    self: setup.self,
    sign: setup.sign,
    options: { ...defaultClientOptions, ...setup.options },
    context: setup.context,
    group: setup.group,
    views: new Map(),
    incarnation: setup.incarnation,
    incarnationStep: 1,
    session: undefined,
    nextNumber: 1,
    queue: [],
    outstanding: new Map(),
    opening: undefined,
    reads: new Map(),
    nextRead: 1,
    askedEpochAt: Number.NEGATIVE_INFINITY,
  };
}

interface ClientTurn {
  readonly state: ClientState;
  readonly now: number;
  readonly effects: ClientEffect[];
}

export function stepClient(state: ClientState, input: ClientInput, now: Now): ClientEffect[] {
  const turn: ClientTurn = { state, now: now.monotonicMs, effects: [] };
  handle(turn, input);
  expire(turn);
  sendQueued(turn);
  setAlarm(turn);
  return turn.effects;
}

function handle(turn: ClientTurn, input: ClientInput): void {
  switch (input.type) {
    case 'submit':
      enqueue(turn, input.id, input.command, input.timeoutMs);
      break;
    case 'reconfigure':
      enqueue(turn, input.id, { kind: 'reconfigure', validators: input.validators, f: input.f });
      break;
    case 'read':
      startRead(turn, input);
      break;
    case 'forget':
      turn.state.queue = turn.state.queue.filter(({ id }) => id !== input.id);
      break;
    case 'together':
      for (const one of input.inputs) handle(turn, one);
      break;
    case 'message':
      onMessage(turn, input.accepted);
      break;
    case 'wake':
      break;
  }
}

function settle(turn: ClientTurn, id: number, outcome: CommandOutcome): void {
  turn.effects.push({ type: 'settled', id, outcome });
}

function enqueue(turn: ClientTurn, id: number, operation: Queued['operation'], timeoutMs?: number): void {
  const { state, now } = turn;
  if (state.queue.length >= state.options.maxQueued) {
    settle(turn, id, { kind: 'overloaded' });
    return;
  }
  state.queue.push({ id, operation, deadline: now + (timeoutMs ?? state.options.deadlineMs) });
}

// Sending.

function sendQueued(turn: ClientTurn): void {
  const { state } = turn;
  if (state.queue.length === 0) return;
  if (state.session === undefined) {
    state.opening ??= issue(turn, 0, state.incarnation, 0, { kind: 'open' }, [], turn.now + state.options.deadlineMs);
    return;
  }
  while (state.queue.length > 0 && mayIssue(state)) {
    const { operation, taken } = bundle(state.queue, state.context.parameters);
    const number = state.nextNumber++;
    const oldest = state.outstanding.keys().next().value ?? number;
    const ids = taken.map(({ id }) => id);
    const deadline = Math.max(...taken.map((queued) => queued.deadline));
    state.outstanding.set(number, issue(turn, state.session, number, oldest - 1, operation, ids, deadline));
  }
}

/** Room among the outstanding, and in the session's window, which the oldest of them holds back. */
function mayIssue(state: ClientState): boolean {
  const { maxOutstanding } = state.options;
  const oldest = state.outstanding.keys().next().value ?? state.nextNumber;
  const { sessionWindow } = state.context.parameters;
  return state.outstanding.size < maxOutstanding && state.nextNumber < oldest + sessionWindow;
}

/** Takes the next commands, as many as one request may carry; a vote travels alone. */
function bundle(queue: Queued[], limits: GroupParameters): { operation: Operation; taken: Queued[] } {
  const first = (queue[0] as Queued).operation;
  if (!(first instanceof Uint8Array)) return { operation: first, taken: queue.splice(0, 1) };
  const commands: Uint8Array[] = [];
  let bytes = 256;
  for (const { operation } of queue) {
    if (!(operation instanceof Uint8Array)) break;
    bytes += operation.length + 8;
    if (commands.length > 0 && (commands.length >= limits.maxCommands || bytes > limits.maxRequestBytes)) break;
    commands.push(operation);
  }
  return { operation: { kind: 'commands', commands }, taken: queue.splice(0, commands.length) };
}

function issue(
  turn: ClientTurn,
  session: number,
  number: number,
  acknowledged: number,
  operation: Operation,
  ids: readonly number[],
  deadline: number,
): Outstanding {
  const { state, now } = turn;
  const content = { client: state.self, session, number, acknowledged, operation };
  const body = requestBody(content);
  const signature = state.sign(bodyBytes(state.context.groupId, 'request', body));
  const request: Request = { type: 'request', ...content, signature, bytes: requestBytes(body, signature) };
  turn.effects.push({ type: 'send', to: [primaryOf(state.group, likelyView(state))], message: request });
  return { request, ids, deadline, replies: new Map(), retryAt: now + state.options.retryMs, retries: 0 };
}

/** The highest view that f + 1 validators speak of: no liar alone can misdirect requests. */
function likelyView(state: ClientState): number {
  const sorted = state.group.validators.map((id) => state.views.get(id) ?? 0).sort((a, b) => b - a);
  return sorted[weakQuorumOf(state.group) - 1] ?? 0;
}

// Receiving.

function onMessage(turn: ClientTurn, { from, message }: Accepted): void {
  const { state } = turn;
  if (message.type === 'catchUp') learnGroup(turn, message);
  if (message.type !== 'reply' && message.type !== 'readReply') return;
  if (message.epoch > state.group.epoch) askForGroup(turn, [from]);
  if (!state.group.validators.includes(from)) return;
  if (message.type === 'reply') onReply(turn, from, message);
  else onReadReply(turn, from, message);
}

function onReadReply(turn: ClientTurn, from: NodeId, { number, result }: ReadReply): void {
  const { state } = turn;
  const read = state.reads.get(number);
  if (read === undefined) return;
  read.replies.set(from, digestOf(result));
  const needed = read.ordered === undefined ? weakQuorumOf(state.group) : quorumOf(state.group);
  if (!agreed(read.replies, from, needed)) return;
  state.reads.delete(number);
  settle(turn, read.id, { kind: 'result', result: { ok: true, value: result } });
}

/** Whether what `from` just said has been said by `needed` validators. */
function agreed(replies: ReadonlyMap<NodeId, Digest>, from: NodeId, needed: number): boolean {
  const digest = replies.get(from);
  let same = 0;
  for (const other of replies.values()) if (other === digest) same++;
  return same >= needed;
}

function onReply(turn: ClientTurn, from: NodeId, reply: Reply): void {
  const { state } = turn;
  if (reply.client !== state.self) return;
  if (reply.epoch === state.group.epoch) state.views.set(from, reply.view);
  const opening = reply.session === 0 ? state.opening : undefined;
  const entry = opening ?? (reply.session === state.session ? state.outstanding.get(reply.number) : undefined);
  if (entry === undefined || entry.request.number !== reply.number) return;
  entry.replies.set(from, digestOf(reply.result));
  if (!agreed(entry.replies, from, weakQuorumOf(state.group))) return;
  const outcome = decodeOutcome(reply.result);
  if (outcome === undefined) return;
  if (opening === undefined) finish(turn, entry, outcome);
  else onOpened(turn, outcome);
}

function onOpened(turn: ClientTurn, outcome: Outcome): void {
  const { state } = turn;
  state.opening = undefined;
  if (outcome.kind === 'opened') state.session = outcome.session;
  else {
    // Opened before with this or a later number: by an earlier start of this client.
    state.incarnation += state.incarnationStep;
    state.incarnationStep *= 2;
  }
}

function finish(turn: ClientTurn, entry: Outstanding, outcome: Outcome): void {
  const { state } = turn;
  state.outstanding.delete(entry.request.number);
  const unknown = { kind: 'unknown', silent: [] } as const;
  entry.ids.forEach((id, index) => {
    if (outcome.kind === 'done') {
      const result = outcome.results[index];
      settle(turn, id, result === undefined ? unknown : { kind: 'result', result });
    } else if (outcome.kind === 'voted' || outcome.kind === 'refused') settle(turn, id, outcome);
    else settle(turn, id, unknown);
  });
  if (outcome.kind === 'no-session') loseSession(turn);
}

/** The validators forgot this client; whether what is outstanding ran before that, nobody can say. */
function loseSession(turn: ClientTurn): void {
  const { state } = turn;
  for (const { ids } of state.outstanding.values()) {
    for (const id of ids) settle(turn, id, { kind: 'unknown', silent: [] });
  }
  state.outstanding.clear();
  state.session = undefined;
  state.nextNumber = 1;
  state.incarnation++;
}

// Time.

function expire(turn: ClientTurn): void {
  const { state, now } = turn;
  for (const [number, entry] of state.outstanding) {
    if (now >= entry.deadline) {
      state.outstanding.delete(number);
      const silent = state.group.validators.filter((id) => !entry.replies.has(id));
      for (const id of entry.ids) settle(turn, id, { kind: 'unknown', silent });
    } else if (now >= entry.retryAt) retry(turn, entry);
  }
  if (state.opening !== undefined && now >= state.opening.retryAt) retry(turn, state.opening);
  const late = state.queue.filter(({ deadline }) => now >= deadline);
  if (late.length > 0) state.queue = state.queue.filter(({ deadline }) => now < deadline);
  for (const { id } of late) settle(turn, id, { kind: 'unsent', silent: silentNow(state) });
  for (const [number, read] of state.reads) {
    if (now < read.orderAt) continue;
    state.reads.delete(number);
    if (read.ordered === undefined || now >= read.deadline) {
      const silent = state.group.validators.filter((id) => !read.replies.has(id));
      settle(turn, read.id, { kind: 'unsent', silent });
    } else state.queue.push({ id: read.id, operation: read.ordered, deadline: read.deadline });
  }
}

function retry(turn: ClientTurn, entry: Outstanding): void {
  const { state, now } = turn;
  turn.effects.push({ type: 'send', to: state.group.validators, message: entry.request });
  // Perhaps nobody answers because others rule by now.
  if (entry.retries > 0) askForGroup(turn, state.group.validators);
  entry.retries = Math.min(entry.retries + 1, 2);
  entry.retryAt = now + state.options.retryMs * 2 ** entry.retries;
}

/** Who did not answer what is sent first of all. */
function silentNow({ group, opening }: ClientState): NodeId[] {
  return group.validators.filter((id) => opening?.replies.has(id) !== true);
}

function startRead(turn: ClientTurn, input: Extract<ClientInput, { type: 'read' }>): void {
  const { state, now } = turn;
  const { id, query, ordered } = input;
  if (state.reads.size >= state.options.maxQueued) {
    settle(turn, id, { kind: 'overloaded' });
    return;
  }
  const number = state.nextRead++;
  const { deadlineMs, readTimeoutMs } = state.options;
  const deadline = now + (input.timeoutMs ?? deadlineMs);
  // What cannot be ordered instead has the whole time.
  const timing = { deadline, orderAt: ordered === undefined ? deadline : Math.min(deadline, now + readTimeoutMs) };
  state.reads.set(number, { number, id, ordered, replies: new Map(), ...timing });
  turn.effects.push({ type: 'send', to: state.group.validators, message: { type: 'read', number, query } });
}

function setAlarm(turn: ClientTurn): void {
  const { state } = turn;
  let at = state.opening?.retryAt ?? Number.POSITIVE_INFINITY;
  for (const entry of state.outstanding.values()) at = Math.min(at, entry.retryAt, entry.deadline);
  for (const read of state.reads.values()) at = Math.min(at, read.orderAt);
  for (const queued of state.queue) at = Math.min(at, queued.deadline);
  if (at !== Number.POSITIVE_INFINITY) turn.effects.push({ type: 'wake', atMs: at });
}

// Other validators.

/** Asks, as a replica that is behind would, for the proof that leads to the present validators. */
function askForGroup(turn: ClientTurn, whom: readonly NodeId[]): void {
  const { state, now } = turn;
  if (now - state.askedEpochAt < state.options.retryMs) return;
  state.askedEpochAt = now;
  const { epoch } = state.group;
  const nothing = { active: true, suspects: false, stable: 0, executed: 0, viewChanges: [], slots: [] };
  turn.effects.push({ type: 'send', to: whom, message: { type: 'status', epoch, view: 0, ...nothing } });
}

/** The proofs were checked when the message was accepted. */
function learnGroup(turn: ClientTurn, { epochs, checkpoint }: CatchUp): void {
  const { state } = turn;
  for (const { head } of [...epochs, checkpoint]) {
    state.context.groups.set(head.group.epoch, head.group);
    if (head.group.epoch <= state.group.epoch) continue;
    state.group = head.group;
    state.views.clear();
    for (const entry of state.outstanding.values()) entry.replies.clear();
  }
}
