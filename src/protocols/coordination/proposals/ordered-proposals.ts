/** `Proposals` over whatever orders commands: the same in one process and under validators. */
import * as v from 'valibot';
import { encodeValue } from '../../../codec.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import { keepAlive } from '../../../keep-alive.ts';
import { isNodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import { maxNameLength, maxValueBytes } from '../machine/limits.ts';
import type { CoordinationTools } from '../tools.ts';
import { waitUntil } from '../waiting.ts';
import {
  decisionTopic,
  maxDeadlineMs,
  maxParticipants,
  maxWeight,
  maxZones,
  type ProposalRecord,
  readRecord,
  ruleSchema,
} from './commands.ts';
import { type Decided, toDecided, toProposal } from './decisions.ts';
import { submitPersistently } from './persistent-submit.ts';
import type {
  Ballot,
  Decision,
  Participant,
  ParticipantSpec,
  Proposal,
  Proposals,
  ProposeOptions,
  Voter,
} from './proposals.ts';
import { fetchRecord, listOpen } from './reading.ts';
import { refusal } from './refusals.ts';
import { castBallot, checkBallot, Voters } from './voters.ts';

/** Zone of a participant that the registry does not know. */
const unknownZone = 'default';

export class OrderedProposals implements Proposals {
  readonly #tools: CoordinationTools;
  readonly #voters: Voters;

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
    this.#voters = new Voters(tools);
  }

  async propose<Chosen = Value>(options: ProposeOptions): Promise<Decision<Chosen>> {
    const { signal } = options;
    signal?.throwIfAborted();
    const deadlineMs = options.deadlineMs ?? this.#tools.timeoutMs;
    const id = options.id ?? Buffer.from(this.#tools.rng.bytes(16)).toString('hex');
    const checked = checkProposal({ ...options, id, deadlineMs });
    const participants = this.#locate(checked.participants);
    const { rule, zones } = checked;
    const proposal = encodeProposal(options.proposal);
    const command = { kind: 'proposals.open', id, participants, proposal, rule, zones, deadlineMs };
    const until = this.#tools.clock.now() + deadlineMs + this.#tools.timeoutMs;
    const letGo = keepAlive();
    try {
      const answer = await submitPersistently(this.#tools, command, { timeoutMs: deadlineMs, signal, stubborn: false });
      if (!answer.ok) throw refusal(answer);
      return await this.#decided<Chosen>(id, until - this.#tools.clock.now(), signal, () => fellSilent(id));
    } catch (error) {
      if (signal?.aborted === true) this.#withdraw(id);
      throw isQuorateError(error, 'UNKNOWN_OUTCOME') ? fellSilent(id, error) : error;
    } finally {
      letGo();
    }
  }

  voter<Proposed = Value>(agent: AgentId, vote: Voter<Proposed>): () => void {
    requireName('agent', agent);
    if (typeof vote !== 'function') throw wrongArguments({ vote: 'must be a function' });
    // What a program expects of the values is its own to check, as with every message.
    return this.#voters.add(agent, vote as Voter);
  }

  async vote(
    id: string,
    { as, signal, ...ballot }: Ballot & { readonly as: AgentId; readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    signal?.throwIfAborted();
    requireName('id', id);
    requireName('as', as);
    const checked = checkBallot(ballot);
    const persistence = { timeoutMs: this.#tools.timeoutMs, signal, stubborn: false };
    await castBallot(this.#tools, id, as, checked, persistence).finally(keepAlive());
  }

  async openProposals({
    agent,
    limit = 100,
    signal,
  }: {
    readonly agent?: AgentId | undefined;
    readonly limit?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {}): Promise<readonly Proposal[]> {
    signal?.throwIfAborted();
    if (agent !== undefined) requireName('agent', agent);
    if (!Number.isSafeInteger(limit) || limit < 1) throw wrongArguments({ limit: 'must be a whole number from 1 on' });
    const proposals: Proposal[] = [];
    for (const id of await listOpen(this.#tools, { agent }, limit, { signal })) {
      const record = await fetchRecord(this.#tools, id, { signal });
      if (record?.state === 'open') proposals.push(toProposal(record)); // Or decided since the list was made.
    }
    return proposals;
  }

  async decision<Chosen = Value>(
    id: string,
    { waitMs, signal }: { readonly waitMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Decision<Chosen>> {
    signal?.throwIfAborted();
    requireName('id', id);
    if (waitMs !== undefined && !(waitMs >= 0)) throw wrongArguments({ waitMs: 'must be 0 or more milliseconds' });
    if (waitMs !== undefined && waitMs > 0) {
      return this.#decided<Chosen>(id, waitMs, signal, () => stillOpen(id)).finally(keepAlive());
    }
    const decision = await this.#look<Chosen>(id, signal);
    if (decision === undefined) throw stillOpen(id);
    return decision;
  }

  /** Ends all voters. What is open stays open. */
  stop(): void {
    this.#voters.stop();
  }

  #decided<Chosen>(
    id: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    timedOut: () => Error,
  ): Promise<Decision<Chosen>> {
    return waitUntil<Decision<Chosen>>(this.#tools, {
      topic: decisionTopic(id),
      fromEvent: (payload) => {
        const record = readRecord(payload);
        return record?.id === id ? this.#decision<Chosen>(record) : undefined;
      },
      read: (over) => this.#look<Chosen>(id, over),
      signal,
      timeoutMs,
      timedOut,
    });
  }

  /** Undefined while it is open. */
  async #look<Chosen>(id: string, signal: AbortSignal | undefined): Promise<Decision<Chosen> | undefined> {
    const record = await fetchRecord(this.#tools, id, { signal });
    if (record === undefined) throw refusal({ ok: false, code: 'NOT_FOUND', data: { id } });
    return this.#decision<Chosen>(record);
  }

  #decision<Chosen>(record: ProposalRecord): Decision<Chosen> | undefined {
    const decided = toDecided(record);
    if (decided === undefined) return undefined;
    const { id } = record;
    const certificate = () => this.#tools.client.certify({ kind: 'proposals.decision', id });
    return { ...(decided as Decided<Chosen>), certificate };
  }

  /** Nobody waits for it any more. Where this fails, the deadline ends the proposal. */
  #withdraw(id: string): void {
    this.#tools.client.submit({ kind: 'proposals.withdraw', id }).catch((error: unknown) => {
      this.#tools.onError(error, `withdrawing proposal '${id}'`);
    });
  }

  #locate(participants: readonly (AgentId | ParticipantSpec)[]): Participant[] {
    const unknown: AgentId[] = [];
    const located = participants.flatMap((given): Participant[] => {
      const { agent, weight = 1, node, zone } = typeof given === 'string' ? { agent: given } : given;
      const known = this.#tools.locate(agent);
      const home = node ?? known?.node;
      if (home === undefined) {
        unknown.push(agent);
        return [];
      }
      return [{ agent, node: home, zone: zone ?? known?.zone ?? unknownZone, weight }];
    });
    if (unknown.length === 0) return located;
    throw new QuorateError(
      'NOT_FOUND',
      `No such agent: ${unknown.join(', ')}. Register them first, or name the node of each participant.`,
      { agents: unknown },
    );
  }
}

const name = v.pipe(
  v.string('must be text'),
  v.nonEmpty('must not be empty'),
  v.maxLength(maxNameLength, `must have at most ${maxNameLength} characters`),
);
const whole = (least: number, most: number) => {
  const text = `must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(text), v.safeInteger(text), v.minValue(least, text), v.maxValue(most, text));
};
const participant = v.union(
  [
    name,
    v.strictObject({
      agent: name,
      weight: v.optional(whole(1, maxWeight)),
      node: v.optional(
        v.pipe(
          v.string(),
          v.check((id) => isNodeId(id)),
        ),
      ),
      zone: v.optional(name),
    }),
  ],
  `must be an agent id, or { agent, weight?: 1 to ${maxWeight}, node?: a node id, zone? }`,
);
const listSize = (most: number) => `must have 1 to ${most} entries`;
const proposalSchema = v.object({
  id: name,
  participants: v.pipe(
    v.array(participant, 'must be a list'),
    v.minLength(1, listSize(maxParticipants)),
    v.maxLength(maxParticipants, listSize(maxParticipants)),
  ),
  rule: v.optional(ruleSchema, 'majority'),
  zones: v.optional(v.pipe(v.array(name, 'must be a list'), v.maxLength(maxZones, listSize(maxZones))), []),
  deadlineMs: whole(1, maxDeadlineMs),
});

/** The terms with their defaults. Throws `INVALID_ARGUMENT` with every wrong field. */
function checkProposal(options: ProposeOptions) {
  const parsed = v.safeParse(proposalSchema, options);
  if (!parsed.success) {
    const fields: Record<string, string> = {};
    for (const issue of parsed.issues) {
      const path = v.getDotPath(issue) ?? 'options';
      fields[path] = path.startsWith('rule')
        ? "must be 'majority', 'unanimous', { quorum }, { weighted } or { byzantine }, with a whole number"
        : issue.message;
    }
    throw wrongArguments(fields);
  }
  return { ...parsed.output, participants: parsed.output.participants as readonly (AgentId | ParticipantSpec)[] };
}

function encodeProposal(proposal: Value): Uint8Array {
  const bytes = encodeValue(proposal);
  if (bytes.length <= maxValueBytes) return bytes;
  throw new QuorateError(
    'PAYLOAD_TOO_LARGE',
    `This proposal has ${bytes.length} bytes, encoded; ${maxValueBytes} are possible. Propose a reference to it.`,
    { bytes: bytes.length, limit: maxValueBytes },
  );
}

function requireName(field: string, given: unknown): void {
  if (!v.is(name, given)) throw wrongArguments({ [field]: `must be text of 1 to ${maxNameLength} characters` });
}

function wrongArguments(fields: Readonly<Record<string, string>>): QuorateError {
  const list = Object.entries(fields).map(([field, problem]) => `${field} ${problem}`);
  return new QuorateError('INVALID_ARGUMENT', `Wrong arguments: ${list.join('; ')}.`, { fields });
}

function fellSilent(id: string, cause?: unknown): QuorateError {
  return new QuorateError(
    'UNKNOWN_OUTCOME',
    `The validators fell silent before the decision on proposal '${id}' was known. Ask decision('${id}') later, or propose it again with the same id and terms.`,
    { id },
    { cause },
  );
}

function stillOpen(id: string): QuorateError {
  return new QuorateError('NOT_SETTLED', `Proposal '${id}' is not decided yet. Wait for it, or ask again.`, { id });
}
