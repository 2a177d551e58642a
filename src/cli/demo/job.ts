/**
 * The coordinator's side of the job. Batches wait in a queue; each is given to whichever agent with the
 * capability has the least to do, found anew for every batch. A call that failed puts its batch back, and
 * an agent that is gone puts back all that it held. Indexing a batch twice does no harm, so even a call
 * whose outcome is unknown may be repeated.
 */
import { isQuorateError } from '../../errors.ts';
import type { AgentRecord, Mesh } from '../../index.ts';
import { capability, type IndexReply, type SearchReply } from './contract.ts';
import type { Batch } from './corpus.ts';
import { mergeCounts, type RankedHit, rank, type TermCounts } from './term-index.ts';

export interface JobEvents {
  onStarted?(agent: string, batch: Batch): void;
  onDone?(agent: string, batch: Batch, done: number, again: boolean): void;
  /** A call failed and its batch waits again. */
  onRerouted?(agent: string, batch: Batch, code: string): void;
  /** An agent is gone, and so many finished batches with it. */
  onLost?(agent: string, batches: number): void;
}

export interface SearchResult {
  readonly terms: readonly string[];
  readonly files: number;
  readonly top: readonly RankedHit[];
  readonly agents: number;
  readonly ms: number;
}

interface Done {
  readonly agent: string;
  readonly counts: TermCounts;
}

const callsPerAgent = 2;

export class IndexJob {
  readonly #mesh: Mesh;
  readonly #batches: readonly Batch[];
  readonly #events: JobEvents;
  readonly #signal: AbortSignal;
  readonly #waiting: Batch[];
  readonly #done = new Map<number, Done>();
  readonly #finishedOnce = new Set<number>();
  readonly #inFlight = new Map<string, Set<number>>();
  /** Agents that a batch was with in vain: it goes to another one, as long as there is another. */
  readonly #inVain = new Map<number, Set<string>>();
  #attempts = 0;
  /** Rings when something changed that may let the loop go on. */
  #wake = (): void => undefined;
  #failure: unknown;

  calls = 0;
  rerouted = 0;
  reindexed = 0;

  constructor(mesh: Mesh, batches: readonly Batch[], signal: AbortSignal, events: JobEvents) {
    this.#mesh = mesh;
    this.#batches = batches;
    this.#waiting = [...batches];
    this.#events = events;
    this.#signal = signal;
  }

  /** Batches that nobody works on yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Batches finished and held by `agent`, and those it works on. */
  load(agent: string): { readonly held: number; readonly working: number } {
    let held = 0;
    for (const done of this.#done.values()) if (done.agent === agent) held += 1;
    return { held, working: this.#inFlight.get(agent)?.size ?? 0 };
  }

  /** The agent that holds this batch, once it is indexed. */
  holder(batch: number): string | undefined {
    return this.#done.get(batch)?.agent;
  }

  /** Resolves when every batch is indexed, and whoever holds it has said so. Rejects when `signal` aborts. */
  async run(): Promise<TermCounts> {
    const watching = new AbortController();
    const watch = this.#watchAgents(watching.signal);
    const onAbort = (): void => this.#wake();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        await this.#indexAll();
        if (await this.#allHeld()) return this.totals();
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      watching.abort();
      await watch;
    }
  }

  async #indexAll(): Promise<void> {
    while (this.#done.size < this.#batches.length) {
      this.#signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      if (!this.#startNext()) await this.#change();
    }
  }

  /**
   * Asks those who hold batches whether they do: one that died a moment ago is still believed alive. Gives
   * the mesh time to notice when one does not answer.
   */
  async #allHeld(): Promise<boolean> {
    try {
      const { missing } = await this.#ask([]);
      for (const batch of missing) this.#putBack(batch);
      return missing.length === 0;
    } catch (error) {
      if (!isQuorateError(error) || this.#signal.aborted) throw error;
      const timer = setTimeout(() => this.#wake(), 200);
      await this.#change();
      clearTimeout(timer);
      return false;
    }
  }

  /** Something happened that may let the job go on. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  totals(): TermCounts {
    return mergeCounts([...this.#done.values()].map(({ counts }) => counts));
  }

  /** Asks every agent that holds batches, ranks what they find together. */
  async search(terms: readonly string[]): Promise<SearchResult> {
    const started = performance.now();
    const { agents, hits, missing, documentFrequencies } = await this.#ask(terms);
    if (missing.length > 0) throw new Error(`Batches ${missing.join(', ')} are not where they should be.`);
    const top = rank(hits, documentFrequencies, this.totals());
    return { terms, files: hits.length, top, agents, ms: performance.now() - started };
  }

  async #ask(terms: readonly string[]): Promise<SearchReply & { readonly agents: number }> {
    const held = new Map<string, number[]>();
    for (const [batch, { agent }] of this.#done) held.set(agent, [...(held.get(agent) ?? []), batch]);
    const replies = await Promise.all(
      [...held].map(([agent, batches]) => {
        this.calls += 1;
        return this.#mesh.call<SearchReply>(agent, { terms, batches }, { method: 'search', signal: this.#signal });
      }),
    );
    return {
      agents: held.size,
      missing: replies.flatMap((reply) => reply.missing),
      hits: replies.flatMap((reply) => reply.hits),
      documentFrequencies: terms.map((_, i) =>
        replies.reduce((sum, reply) => sum + (reply.documentFrequencies[i] ?? 0), 0),
      ),
    };
  }

  /** False when there is nothing to start now: no batch waits, or every agent has enough to do. */
  #startNext(): boolean {
    const batch = this.#waiting[0];
    if (batch === undefined) return false;
    const busy = [...this.#inFlight].filter(([, batches]) => batches.size >= callsPerAgent).map(([agent]) => agent);
    const inVain = this.#inVain.get(batch.id) ?? new Set();
    if (inVain.size >= this.#mesh.registry.count({ capabilities: capability })) inVain.clear();
    const agent = this.#choose([...busy, ...inVain]);
    if (agent === undefined) return false;
    this.#waiting.shift();
    void this.#index(agent, batch);
    return true;
  }

  #choose(exclude: readonly string[]): AgentRecord | undefined {
    return this.#mesh.registry.resolve({ capabilities: capability }, { strategy: 'leastLoaded', exclude });
  }

  /** Never rejects. */
  async #index(agent: AgentRecord, batch: Batch): Promise<void> {
    const working = this.#inFlight.get(agent.id) ?? new Set();
    this.#inFlight.set(agent.id, working.add(batch.id));
    this.#events.onStarted?.(agent.id, batch);
    this.calls += 1;
    this.#attempts += 1;
    try {
      const reply = await this.#mesh.call<IndexReply>(
        agent.id,
        { batch: batch.id, files: batch.files },
        {
          method: 'index',
          idempotencyKey: `batch-${batch.id}-${this.#attempts}`,
          timeoutMs: 15_000,
          signal: this.#signal,
        },
      );
      working.delete(batch.id);
      // The reply of an agent that is gone by now is true, but nobody could search what it says.
      if (this.#mesh.registry.lookup(agent.id) === undefined) this.#waiting.unshift(batch);
      else this.#finish(agent.id, batch, reply);
    } catch (error) {
      working.delete(batch.id);
      const known = isQuorateError(error) && error.code !== 'HANDLER_FAILED' && error.code !== 'PAYLOAD_TOO_LARGE';
      if (known && !this.#signal.aborted) {
        this.rerouted += 1;
        this.#waiting.unshift(batch);
        this.#inVain.set(batch.id, (this.#inVain.get(batch.id) ?? new Set()).add(agent.id));
        this.#events.onRerouted?.(agent.id, batch, error.code);
      } else this.#failure ??= error;
    }
    this.#wake();
  }

  #finish(agent: string, batch: Batch, reply: IndexReply): void {
    const terms = new Map(reply.terms.map((term, i) => [term, reply.counts[i] ?? 0]));
    const again = this.#finishedOnce.has(batch.id);
    if (again) this.reindexed += 1;
    this.#finishedOnce.add(batch.id);
    this.#done.set(batch.id, { agent, counts: { ...reply, terms } });
    this.#events.onDone?.(agent, batch, this.#done.size, again);
  }

  /** New agents get work at once; what a lost one held waits again. Ends with `signal`. */
  async #watchAgents(signal: AbortSignal): Promise<void> {
    for await (const event of this.#mesh.registry.watch({ capabilities: capability }, { signal })) {
      if (event.type === 'down') this.#lose(event.record.id);
      this.#wake();
    }
  }

  #lose(agent: string): void {
    const lost = this.#batches.filter((batch) => this.#done.get(batch.id)?.agent === agent);
    for (const batch of lost) this.#putBack(batch.id);
    this.#events.onLost?.(agent, lost.length);
  }
  #putBack(batch: number): void {
    const known = this.#batches[batch];
    if (known !== undefined && this.#done.delete(batch)) this.#waiting.push(known);
  }
}
