/**
 * Proposals as a deterministic state machine.
 *
 * Intuition: a proposal fixes at its opening who may vote, from which node, and when it ends. Each vote is one ordered command from the node of
 * its agent, so its author is authenticated by the order itself. After each vote the rule is asked whether the matter is decided; the
 * first answer is final. What is silent at the deadline is missing, and that is the decision.
 *
 * Invariants:
 * - a vote counts for one participant, from its node, once; anything else is refused and leaves the tally as it was;
 * - a decided proposal never changes again, until it is forgotten;
 * - an accepted value had what its rule and zones need when it was decided; with `byzantine: f`, no second value could have had;
 * - what is kept is bounded: open proposals by refusing more, decided ones by forgetting the oldest; a plain vote never lacks room.
 */
import * as v from 'valibot';
import { decodeValue, encodeValue } from '../../../codec.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import {
  type Command,
  commands,
  decisionTopic,
  keepDecidedMs,
  maxBytes,
  maxBytesPerNode,
  maxDecided,
  maxOpen,
  maxOpenPerNode,
  nodeTopic,
  type OpenCommand,
  pageSize,
  type Query,
  queries,
  type VoteCommand,
  type VoteRecord,
  voteBytes,
} from './commands.ts';
import { type Entry, entriesSchema, makeEntry, recordOf, restoreEntry, snapshotEntry } from './entry.ts';
import type { DecisionOutcome } from './proposals.ts';
import { judge, ruleProblem } from './tally.ts';

const forgetKey = 'forget';
const deadlineKey = (id: string): string => `deadline/${id}`;

export class ProposalsReducer implements Reducer<Command, Query> {
  readonly name = 'proposals';
  readonly commands = commands;
  readonly queries = queries;
  /** In the order of opening. */
  readonly #open = new Map<string, Entry>();
  /** In the order of decision. */
  readonly #decided = new Map<string, Entry>();
  // The rest follows from these.
  readonly #openByNode = new Map<NodeId, Set<Entry>>();
  readonly #openByAgent = new Map<string, Set<Entry>>();
  readonly #byProposer = new Map<NodeId, { count: number; bytes: number }>();
  #bytes = 0;
  #opened = 0;

  apply(command: Command, context: ReducerContext): Answer {
    switch (command.kind) {
      case 'proposals.open':
        return this.#onOpen(command, context);
      case 'proposals.vote':
        return this.#onVote(command, context);
      case 'proposals.withdraw':
        return this.#onWithdraw(command.id, context);
    }
  }

  query(query: Query): Answer {
    if (query.kind === 'proposals.list') return this.#list(query);
    const entry = this.#find(query.id);
    return entry === undefined ? refused('NOT_FOUND', { id: query.id }) : done(recordOf(entry));
  }

  settled(query: Query): Value | undefined {
    if (query.kind !== 'proposals.decision') return undefined;
    const entry = this.#decided.get(query.id);
    return entry === undefined ? undefined : recordOf(entry);
  }

  expire(key: string, context: ReducerContext): void {
    if (key === forgetKey) {
      this.#forget(context);
      return;
    }
    const entry = this.#open.get(key.slice(deadlineKey('').length));
    if (entry !== undefined) this.#decide(entry, 'expired', undefined, context);
  }

  snapshot(): Value {
    return {
      opened: this.#opened,
      open: [...this.#open.values()].map(snapshotEntry),
      decided: [...this.#decided.values()].map(snapshotEntry),
    };
  }

  restore(snapshot: Value): void {
    const state = v.parse(snapshotSchema, snapshot);
    for (const map of [this.#open, this.#decided, this.#openByNode, this.#openByAgent, this.#byProposer]) map.clear();
    this.#bytes = 0;
    this.#opened = state.opened;
    for (const tuple of state.open) this.#admit(restoreEntry(tuple));
    for (const tuple of state.decided) {
      const entry = restoreEntry(tuple);
      this.#decided.set(entry.id, entry);
      this.#bytes += entry.size;
    }
  }

  #find(id: string): Entry | undefined {
    return this.#open.get(id) ?? this.#decided.get(id);
  }

  // Opening.

  #onOpen(command: OpenCommand, context: ReducerContext): Answer {
    const known = this.#find(command.id);
    if (known !== undefined) {
      return sameTerms(known, command) ? done({ state: known.state }) : refused('ALREADY_EXISTS', { id: command.id });
    }
    const { client, time } = context;
    const wrong = client === undefined ? refused('NOT_PERMITTED') : unsound(command);
    if (wrong !== undefined) return wrong;
    const entry = makeEntry({
      number: this.#opened + 1,
      id: command.id,
      proposer: client as NodeId,
      proposal: command.proposal,
      rule: command.rule,
      zones: command.zones,
      participants: command.participants.map((seat) => ({ ...seat, vote: undefined })),
      openedAt: time,
      deadlineAt: time + command.deadlineMs,
      state: 'open',
      decidedAt: undefined,
      value: undefined,
    });
    const full = this.#noRoomFor(entry);
    if (full !== undefined) return full;
    this.#opened = entry.number;
    this.#admit(entry);
    context.schedule(deadlineKey(entry.id), entry.deadlineAt);
    this.#tellNodes(entry, 'opened', context);
    return done({ state: 'open' });
  }

  #noRoomFor(entry: Entry): Answer | undefined {
    const own = this.#byProposer.get(entry.proposer) ?? { count: 0, bytes: 0 };
    if (this.#open.size >= maxOpen) return refused('LIMIT_EXCEEDED', { limit: maxOpen, what: 'open proposals' });
    if (own.count >= maxOpenPerNode) {
      return refused('LIMIT_EXCEEDED', { limit: maxOpenPerNode, what: 'open proposals of one node' });
    }
    return this.#makeRoom(entry.proposer, entry.size);
  }

  /** Forgets decisions until there is room for what is open; refuses when that is not enough. */
  #makeRoom(proposer: NodeId, bytes: number): Answer | undefined {
    if ((this.#byProposer.get(proposer)?.bytes ?? 0) + bytes > maxBytesPerNode) {
      return refused('LIMIT_EXCEEDED', { limit: maxBytesPerNode, what: 'bytes of open proposals of one node' });
    }
    let decidedBytes = 0;
    if (this.#bytes + bytes > maxBytes) for (const entry of this.#decided.values()) decidedBytes += entry.size;
    if (this.#bytes - decidedBytes + bytes > maxBytes) {
      return refused('LIMIT_EXCEEDED', { limit: maxBytes, what: 'bytes of open proposals' });
    }
    for (const entry of this.#decided.values()) {
      if (this.#bytes + bytes <= maxBytes) break;
      this.#drop(entry);
    }
    return undefined;
  }

  #admit(entry: Entry): void {
    this.#open.set(entry.id, entry);
    this.#bytes += entry.size;
    const own = this.#byProposer.get(entry.proposer) ?? { count: 0, bytes: 0 };
    this.#byProposer.set(entry.proposer, { count: own.count + 1, bytes: own.bytes + entry.size });
    for (const { agent, node } of entry.participants) {
      addTo(this.#openByAgent, agent, entry);
      addTo(this.#openByNode, node, entry);
    }
  }

  // Voting.

  #onVote(command: VoteCommand, context: ReducerContext): Answer {
    const { id, agent } = command;
    const entry = this.#find(id);
    if (entry === undefined) return refused('NOT_FOUND', { id });
    const seat = entry.seats.get(agent);
    if (seat === undefined) return refused('NOT_PERMITTED', { id, agent, reason: 'not-a-participant' });
    if (seat.node !== context.client) {
      return refused('NOT_PERMITTED', { id, agent, reason: 'lives-elsewhere', node: seat.node });
    }
    // To accept the proposal's own value is to accept the proposal as it is.
    const asItIs = command.value === undefined || equal(command.value, entry.proposal);
    const value = asItIs ? undefined : command.value;
    if (seat.vote !== undefined) {
      const same = seat.vote.accept === command.accept && equal(seat.vote.value, value);
      return same ? done({ state: entry.state }) : refused('NOT_PERMITTED', { id, agent, reason: 'voted-already' });
    }
    if (entry.state !== 'open') return refused('NOT_PERMITTED', { id, agent, reason: 'decided', outcome: entry.state });
    if (!command.accept && command.value !== undefined) {
      return refused('INVALID_ARGUMENT', { reason: 'a rejection has no value' });
    }
    if (value !== undefined && !decodeValue(value).ok) return refused('INVALID_ARGUMENT', { reason: 'no value' });
    const full = this.#admitExtra(entry, value?.length ?? 0, 0);
    if (full !== undefined) return full;
    // A reason is for people: one that there is no room for is left out, the vote counts all the same.
    const hasRoom = this.#admitExtra(entry, Buffer.byteLength(command.reason ?? ''), value?.length ?? 0) === undefined;
    const reason = hasRoom ? command.reason : undefined;
    const vote: VoteRecord = {
      accept: command.accept,
      at: context.time,
      ...(value === undefined ? {} : { value }),
      ...(reason === undefined ? {} : { reason }),
    };
    seat.vote = vote;
    const verdict = judge(entry);
    if (verdict.kind === 'accepted') this.#decide(entry, 'accepted', verdict.value, context);
    else if (verdict.kind === 'rejected') this.#decide(entry, 'rejected', undefined, context);
    return done({ state: entry.state });
  }

  /** Charges what a vote adds beyond its seat, `before` of which is charged already; or says why it cannot be. */
  #admitExtra(entry: Entry, bytes: number, before: number): Answer | undefined {
    if (bytes === 0) return undefined;
    const limit = voteBytes(entry.participants.length);
    if (before + bytes > limit) return refused('PAYLOAD_TOO_LARGE', { id: entry.id, bytes: before + bytes, limit });
    const full = this.#makeRoom(entry.proposer, bytes);
    if (full === undefined) this.#charge(entry, bytes);
    return full;
  }

  #charge(entry: Entry, bytes: number): void {
    entry.size += bytes;
    this.#bytes += bytes;
    const own = this.#byProposer.get(entry.proposer);
    if (own !== undefined) own.bytes += bytes;
  }

  #onWithdraw(id: string, context: ReducerContext): Answer {
    const entry = this.#find(id);
    if (entry === undefined) return refused('NOT_FOUND', { id });
    if (entry.proposer !== context.client) return refused('NOT_PERMITTED', { id, reason: 'not-the-proposer' });
    if (entry.state === 'open') this.#decide(entry, 'withdrawn', undefined, context);
    return done({ state: entry.state });
  }

  // The end.

  #decide(entry: Entry, outcome: DecisionOutcome, value: Uint8Array | undefined, context: ReducerContext): void {
    entry.state = outcome;
    entry.decidedAt = context.time;
    entry.value = value;
    this.#close(entry);
    this.#decided.set(entry.id, entry);
    context.schedule(deadlineKey(entry.id), undefined);
    context.emit(decisionTopic(entry.id), recordOf(entry));
    this.#tellNodes(entry, 'closed', context);
    this.#forget(context);
  }

  /** Out of everything that is about open ones; its bytes stay. */
  #close(entry: Entry): void {
    this.#open.delete(entry.id);
    for (const { agent, node } of entry.participants) {
      removeFrom(this.#openByAgent, agent, entry);
      removeFrom(this.#openByNode, node, entry);
    }
    const own = this.#byProposer.get(entry.proposer);
    if (own === undefined) return;
    own.count -= 1;
    own.bytes -= entry.size;
    if (own.count === 0) this.#byProposer.delete(entry.proposer);
  }

  /** Drops decisions that are too old or too many, and comes back when the next one is. */
  #forget(context: ReducerContext): void {
    let next: number | undefined;
    for (const entry of this.#decided.values()) {
      const until = (entry.decidedAt as number) + keepDecidedMs;
      if (until > context.time && this.#decided.size <= maxDecided) {
        next = until;
        break;
      }
      this.#drop(entry);
    }
    context.schedule(forgetKey, next);
  }

  #drop(entry: Entry): void {
    this.#decided.delete(entry.id);
    this.#bytes -= entry.size;
  }

  #tellNodes({ id, participants }: Entry, kind: 'opened' | 'closed', context: ReducerContext): void {
    for (const node of new Set(participants.map((seat) => seat.node))) context.emit(nodeTopic(node), { kind, id });
  }

  #list({ agent, node, after }: Extract<Query, { kind: 'proposals.list' }>): Answer {
    const none: ReadonlySet<Entry> = new Set();
    const byAgent = agent === undefined ? undefined : (this.#openByAgent.get(agent) ?? none);
    const byNode = node === undefined ? undefined : (this.#openByNode.get(node) ?? none);
    const proposals: { id: string; number: number }[] = [];
    for (const { id, number, participants } of byAgent ?? byNode ?? this.#open.values()) {
      if (number <= after) continue;
      const both = byAgent === undefined || byNode === undefined;
      if (!both && !participants.some((seat) => seat.agent === agent && seat.node === node)) continue;
      if (proposals.length === pageSize) return done({ proposals, more: true });
      proposals.push({ id, number });
    }
    return done({ proposals, more: false });
  }
}

const snapshotSchema = v.strictObject({ opened: v.number(), open: entriesSchema, decided: entriesSchema });

function unsound({ participants, zones, rule, proposal }: OpenCommand): Answer | undefined {
  const wrong = (reason: string): Answer => refused('INVALID_ARGUMENT', { reason });
  if (new Set(participants.map(({ agent }) => agent)).size !== participants.length) {
    return wrong('a participant is named twice');
  }
  if (new Set(zones).size !== zones.length) return wrong('a zone is named twice');
  const empty = zones.find((zone) => participants.every((seat) => seat.zone !== zone));
  if (empty !== undefined) return wrong(`nobody takes part in zone '${empty}'`);
  if (!decodeValue(proposal).ok) return wrong('the proposal is no value');
  const problem = ruleProblem(rule, participants);
  if (problem === 'too-heavy') return wrong('all participants together have less weight than the rule needs');
  return problem === undefined ? undefined : refused('TOO_FEW_PARTICIPANTS', { ...problem });
}

/** Everything that was asked for at the opening, whoever asks. */
function sameTerms(entry: Entry, command: OpenCommand): boolean {
  const { proposal, rule, zones, openedAt, deadlineAt } = entry;
  const participants = entry.participants.map(({ vote: _, ...seat }) => seat);
  const known = encodeValue({ proposal, rule, zones, participants, deadlineMs: deadlineAt - openedAt });
  const { kind: _, id: __, ...asked } = command;
  return equal(known, encodeValue(asked));
}

const equal = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

function addTo<Key>(index: Map<Key, Set<Entry>>, key: Key, entry: Entry): void {
  const entries = index.get(key);
  if (entries === undefined) index.set(key, new Set([entry]));
  else entries.add(entry);
}

function removeFrom<Key>(index: Map<Key, Set<Entry>>, key: Key, entry: Entry): void {
  const entries = index.get(key);
  entries?.delete(entry);
  if (entries?.size === 0) index.delete(key);
}
