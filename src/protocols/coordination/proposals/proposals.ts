/** Decisions by vote: what an application sees. */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';

/**
 * When a proposal is accepted. All of a proposal's votes for one value count together; the first value that gets there wins.
 *
 * | rule | accepted with |
 * | --- | --- |
 * | `'majority'` | more than half of all weight |
 * | `'unanimous'` | everybody |
 * | `{ quorum: n }` | n participants, whatever their weight |
 * | `{ weighted: w }` | weight w or more |
 * | `{ byzantine: f }` | ⌊(n + f) / 2⌋ + 1 of the n participants, of which f may lie: two values can never both get there. Needs n ≥ 3f + 1 |
 */
export type DecisionRule =
  | 'majority'
  | 'unanimous'
  | { readonly quorum: number }
  | { readonly weighted: number }
  | { readonly byzantine: number };

/** Who may vote, from where, and with which weight. */
export interface ParticipantSpec {
  readonly agent: AgentId;
  /** A whole number from 1 to 1,000,000. Default 1. */
  readonly weight?: number | undefined;
  /** The one node from which its vote counts. Default: where the registry has the agent now. */
  readonly node?: NodeId | undefined;
  /** Default: the zone the registry has for the agent, or `default` for one it does not know. */
  readonly zone?: string | undefined;
}

export interface ProposeOptions {
  /** Names the proposal; the same id with the same terms is the same proposal, so asking again is safe. Default: random. */
  readonly id?: string | undefined;
  /** 1 to 256. Where each lives is looked up once, now: a vote counts from that node only, also when the agent moves. */
  readonly participants: readonly (AgentId | ParticipantSpec)[];
  /** What is proposed; at most 32 KiB, encoded. */
  readonly proposal: Value;
  /** Default `'majority'`. */
  readonly rule?: DecisionRule | undefined;
  /** In each of these zones, besides the rule, more than half of the weight of its participants must accept the same value. */
  readonly zones?: readonly string[] | undefined;
  /** The decision falls at the latest so long after the proposal was ordered, milliseconds; up to seven days. Default `coordination.timeoutMs`. */
  readonly deadlineMs?: number | undefined;
  /** Aborting it withdraws the proposal: it ends at once, not accepted (outcome `withdrawn`), unless it is decided already. */
  readonly signal?: AbortSignal | undefined;
}

/** How a proposal ended. `rejected`: no value could be accepted any more. `expired`: its deadline passed. */
export type DecisionOutcome = 'accepted' | 'rejected' | 'expired' | 'withdrawn';

export interface Participant {
  readonly agent: AgentId;
  /** The only node whose vote for this agent counts. */
  readonly node: NodeId;
  readonly zone: string;
  readonly weight: number;
}

/** A proposal that voters are asked about. Times are agreed time, milliseconds since 1970. */
export interface Proposal<Proposed = Value> {
  readonly id: string;
  /** The node that proposed it. */
  readonly proposer: NodeId;
  readonly proposal: Proposed;
  readonly participants: readonly Participant[];
  readonly rule: DecisionRule;
  readonly zones: readonly string[];
  readonly openedAt: number;
  readonly deadlineAt: number;
  readonly votes: readonly Vote<Proposed>[];
}

export interface Vote<Chosen = Value> {
  readonly agent: AgentId;
  readonly node: NodeId;
  readonly accept: boolean;
  /** What it voted for: its own value, or the proposal as it is; undefined for a rejection. */
  readonly value: Chosen | undefined;
  readonly reason: string | undefined;
  /** Agreed time, milliseconds since 1970. */
  readonly at: number;
}

/** How the votes add up. */
export interface Tally<Chosen = Value> {
  /** What `needed` and the counts are: weight for `majority`, `unanimous` and `weighted`, heads for the others. */
  readonly counts: 'weight' | 'participants';
  readonly needed: number;
  readonly total: number;
  /** Each value that was voted for, the strongest first. */
  readonly choices: readonly { readonly value: Chosen; readonly count: number; readonly agents: readonly AgentId[] }[];
  readonly rejected: number;
  readonly missing: number;
}

/** The end of a proposal; the same for everybody who asks, and it never changes. */
export interface Decision<Chosen = Value> {
  readonly id: string;
  readonly accepted: boolean;
  readonly outcome: DecisionOutcome;
  /** The value that was accepted; undefined when none was. */
  readonly value: Chosen | undefined;
  readonly votes: readonly Vote<Chosen>[];
  /** Participants that had not voted when it was decided. */
  readonly missing: readonly AgentId[];
  readonly tally: Tally<Chosen>;
  /** Agreed time, milliseconds since 1970. */
  readonly decidedAt: number;
  /** For somebody who was not there and asks nobody: see `verifyDecision`. Rejects with `NO_QUORUM`, or `NOT_FOUND` once the decision is forgotten. */
  certificate(): Promise<Certificate>;
}

/** A vote. `value`: accept this instead of the proposal as it is (32 KiB divided by the number of participants, encoded). */
export interface Ballot {
  readonly accept: boolean;
  readonly value?: Value;
  /** For people; cut to 128 characters, and left out where the value leaves no room. */
  readonly reason?: string | undefined;
}

/** Answers proposals in the name of an agent: a ballot, or just whether it accepts. */
export type Voter<Proposed = Value> = (
  proposal: Proposal<Proposed>,
  context: { /** Aborts when the answer is not wanted any more. */ readonly signal: AbortSignal },
) => Ballot | boolean | Promise<Ballot | boolean>;

export interface Proposals {
  /**
   * Has the participants vote, and resolves with the decision: accepted as soon as the rule is met, not accepted as soon as it cannot be
   * met any more, by an agreed deadline at the latest. Silent participants are no error; the decision names them.
   *
   * Throws `INVALID_ARGUMENT`, `NOT_FOUND` (an agent that the registry does not know), `TOO_FEW_PARTICIPANTS` (the rule needs `minimum`),
   * `ALREADY_EXISTS` (the id, with other terms), `LIMIT_EXCEEDED`, `PAYLOAD_TOO_LARGE`; `NO_VALIDATORS` and `NO_QUORUM` (nothing was proposed);
   * `UNKNOWN_OUTCOME` when the validators fell silent: ask `decision(data.id)` later; or the reason of `signal`.
   *
   * @example
   * const { accepted, value, missing } = await mesh.coordination.propose({
   *   participants: ['planner', 'coder', 'reviewer'],
   *   proposal: { task: 'parser', owner: 'coder' },
   *   rule: 'majority',
   *   deadlineMs: 10_000,
   * });
   */
  propose<Chosen = Value>(options: ProposeOptions): Promise<Decision<Chosen>>;
  /**
   * Lets `vote` answer every proposal for this agent on this node, also those that are open already, until the returned function is called.
   * A voter that throws is reported to the log and counts as silent. Throws `ALREADY_EXISTS` when the agent has a voter here.
   *
   * @example
   * mesh.coordination.voter<Task>('reviewer', ({ proposal }) => ({ accept: proposal.owner !== 'reviewer', reason: 'I am busy' }));
   */
  voter<Proposed = Value>(agent: AgentId, vote: Voter<Proposed>): () => void;
  /**
   * Votes by hand, from the node where the agent lived when it was proposed. Voting the same again changes nothing.
   * Throws `NOT_FOUND`, and `NOT_PERMITTED` with `data.reason` `not-a-participant`, `lives-elsewhere`, `voted-already` or `decided`;
   * `PAYLOAD_TOO_LARGE`, `NO_QUORUM`, `UNKNOWN_OUTCOME` (safe to repeat).
   */
  vote(id: string, ballot: Ballot & { readonly as: AgentId; readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Proposals that are open, oldest first; `agent`: those that it may vote on. At most `limit`, default 100. */
  openProposals(options?: {
    readonly agent?: AgentId | undefined;
    readonly limit?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<readonly Proposal[]>;
  /**
   * The decision on a proposal of anybody; `waitMs`: waits so long for it. Decisions are kept for ten minutes, fewer when there are very many.
   * Throws `NOT_FOUND` (unknown or forgotten), `NOT_SETTLED` (still open), `NO_QUORUM`.
   */
  decision<Chosen = Value>(
    id: string,
    options?: { readonly waitMs?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<Decision<Chosen>>;
}
