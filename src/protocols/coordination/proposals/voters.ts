/**
 * The voters of one node: asks each about every open proposal for its agent, once, and brings its vote to the validators.
 *
 * Events say that something opened or closed here; the list of what is open for this node is read when a voter comes, after a gap, and now and
 * then. An agent is asked about a proposal once in the life of this process, whatever comes of it; the reducer makes a vote that was brought
 * twice count once. A voter that never answers is forgotten when the proposal closes.
 */

import type { Timer } from '../../../clock.ts';
import { encodeValue } from '../../../codec.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { CoordinationTools } from '../tools.ts';
import { maxReasonLength, nodeTopic, type ProposalRecord } from './commands.ts';
import { toProposal } from './decisions.ts';
import { passing, submitPersistently } from './persistent-submit.ts';
import type { Ballot, Voter } from './proposals.ts';
import { fetchRecord, listOpen } from './reading.ts';
import { refusal } from './refusals.ts';

/** How often the list is read although nothing was heard, milliseconds: it only mends lost events, so rarely. A guess. */
const rereadMs = 30_000;
/** The same after a reading that failed, milliseconds. */
const retryMs = 2_000;
/** Voters that may be thinking at once on this node; the others are asked when one of them is done. */
const maxAsking = 256;

/** A proposal that agents of this node were asked about. */
interface Case {
  /** Of the voters here at the last look. */
  readonly asked: Set<AgentId>;
  readonly asking: Map<AgentId, AbortController>;
}

export class Voters {
  readonly #tools: CoordinationTools;
  readonly #voters = new Map<AgentId, Voter>();
  readonly #cases = new Map<string, Case>();
  #asking = 0;
  #unsubscribe: (() => void) | undefined;
  #reread: Timer | undefined;
  #sweeping = false;
  #sweepAgain = false;

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  add(agent: AgentId, voter: Voter): () => void {
    if (this.#voters.has(agent)) {
      const message = `Agent '${agent}' has a voter on this node already. Remove that one first.`;
      throw new QuorateError('ALREADY_EXISTS', message, { id: agent });
    }
    this.#voters.set(agent, voter);
    this.#listen();
    return () => {
      if (this.#voters.get(agent) === voter) this.#remove(agent);
    };
  }

  stop(): void {
    for (const agent of [...this.#voters.keys()]) this.#remove(agent);
  }

  #remove(agent: AgentId): void {
    this.#voters.delete(agent);
    for (const one of this.#cases.values()) {
      one.asking.get(agent)?.abort(new QuorateError('STOPPED', `The voter of '${agent}' was removed.`));
      one.asked.delete(agent);
    }
    if (this.#voters.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#reread?.cancel();
    this.#cases.clear();
  }

  #listen(): void {
    if (this.#unsubscribe === undefined) {
      this.#unsubscribe = this.#tools.client.subscribe(nodeTopic(this.#tools.self), {
        onEvent: (payload) => this.#onEvent(payload),
        onGap: () => this.#sweep(),
      });
      this.#rereadIn(rereadMs);
    }
    this.#sweep();
  }

  #rereadIn(ms: number): void {
    this.#reread?.cancel();
    this.#reread = this.#tools.clock.after(ms, () => {
      this.#rereadIn(rereadMs);
      this.#sweep();
    });
  }

  #onEvent(payload: Value): void {
    if (typeof payload !== 'object' || payload === null || !('id' in payload) || typeof payload.id !== 'string') return;
    if (payload.kind === 'closed') this.#close(payload.id);
    else this.#consider(payload.id);
  }

  #close(id: string): void {
    const one = this.#cases.get(id);
    if (one === undefined) return;
    this.#cases.delete(id);
    const reason = new QuorateError('NOT_PERMITTED', `Proposal '${id}' is decided.`, { id, reason: 'decided' });
    for (const controller of one.asking.values()) controller.abort(reason);
  }

  /** Looks at everything that is open for this node. One at a time; a wish for another look in between is kept. */
  #sweep(): void {
    this.#sweepAgain = true;
    if (this.#sweeping) return;
    this.#sweeping = true;
    void this.#sweepAll().finally(() => {
      this.#sweeping = false;
    });
  }

  async #sweepAll(): Promise<void> {
    while (this.#sweepAgain && this.#voters.size > 0) {
      this.#sweepAgain = false;
      const before = [...this.#cases.keys()];
      try {
        const open = new Set(await listOpen(this.#tools, { node: this.#tools.self }));
        for (const id of before) if (!open.has(id)) this.#close(id);
        for (const id of open) await this.#look(id);
      } catch (error) {
        this.#onReadFailed(error);
      }
    }
  }

  #consider(id: string): void {
    this.#look(id).catch((error: unknown) => this.#onReadFailed(error));
  }

  /** What another try may mend is tried again; anything else is a matter for the log as well. */
  #onReadFailed(error: unknown): void {
    if (this.#voters.size === 0) return;
    if (!isQuorateError(error) || !passing.has(error.code)) this.#report(error, 'reading open proposals');
    this.#rereadIn(retryMs);
  }

  async #look(id: string): Promise<void> {
    const known = this.#cases.get(id);
    if (known !== undefined && [...this.#voters.keys()].every((agent) => known.asked.has(agent))) return;
    const record = await fetchRecord(this.#tools, id);
    if (record?.state !== 'open') return;
    const one = this.#cases.get(id) ?? { asked: new Set(), asking: new Map() };
    const mine = new Map(
      record.participants.filter(({ node }) => node === this.#tools.self).map((seat) => [seat.agent, seat]),
    );
    for (const [agent, voter] of this.#voters) {
      if (one.asked.has(agent)) continue;
      const seat = mine.get(agent);
      if (seat !== undefined && seat.vote === undefined) {
        if (this.#asking >= maxAsking) continue; // `#ask` sweeps again when it ends.
        void this.#ask(record, one, agent, voter);
      }
      one.asked.add(agent);
    }
    this.#cases.set(id, one);
  }

  /** One agent about one proposal, to the end. Never rejects. */
  async #ask(record: ProposalRecord, one: Case, agent: AgentId, voter: Voter): Promise<void> {
    const controller = new AbortController();
    one.asking.set(agent, controller);
    this.#asking += 1;
    const { signal } = controller;
    try {
      const ballot = await orAbort(async () => voter(toProposal(record), { signal }), signal);
      await castBallot(this.#tools, record.id, agent, checkBallot(ballot), {
        // By then the proposal has ended: its deadline is counted from before it was read.
        timeoutMs: record.deadlineAt - record.openedAt,
        signal,
        stubborn: true,
      });
    } catch (error) {
      const late = isQuorateError(error, 'NOT_PERMITTED') && error.data['reason'] === 'decided';
      if (!signal.aborted && !late) this.#report(error, `voter of '${agent}' on proposal '${record.id}'`);
    } finally {
      one.asking.delete(agent);
      this.#asking -= 1;
      if (this.#asking === maxAsking - 1) this.#sweep();
    }
  }

  #report(error: unknown, where: string): void {
    if (this.#voters.size > 0) this.#tools.onError(error, where);
  }
}

/** Brings a ballot to the validators. Rejects as `Proposals.vote`. */
export async function castBallot(
  tools: CoordinationTools,
  id: string,
  agent: AgentId,
  ballot: Ballot,
  persistence: Parameters<typeof submitPersistently>[2],
): Promise<void> {
  const { accept } = ballot;
  const value = accept && ballot.value !== undefined ? encodeValue(ballot.value) : undefined;
  const reason = ballot.reason?.slice(0, maxReasonLength).toWellFormed();
  const answer = await submitPersistently(
    tools,
    {
      ...{ kind: 'proposals.vote', id, agent, accept },
      ...(value === undefined ? {} : { value }),
      ...(reason === undefined ? {} : { reason }),
    },
    persistence,
  );
  if (!answer.ok) throw refusal(answer);
}

/** What the voter gave, which may come from plain JavaScript. Throws `INVALID_ARGUMENT`. */
export function checkBallot(ballot: Ballot | boolean): Ballot {
  if (typeof ballot === 'boolean') return { accept: ballot };
  if (typeof ballot === 'object' && ballot !== null && typeof ballot.accept === 'boolean') {
    if (ballot.reason === undefined || typeof ballot.reason === 'string') return ballot;
  }
  throw new QuorateError('INVALID_ARGUMENT', 'A vote is true, false, or { accept, value?, reason? }.', {
    wrong: ['ballot'],
  });
}

/** The result, or the reason of the signal, whichever comes first: a voter need not listen to it. */
function orAbort<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    run().then(resolve, reject);
  });
}
