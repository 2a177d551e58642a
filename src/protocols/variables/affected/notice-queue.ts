/**
 * What one agent is still to be told of one variable. Pure.
 *
 * Intuition: a queue from which the head is taken only when the agent has acknowledged it; so each notice comes in order and at least once. Two kinds share
 * it, so that they cannot overtake each other: what this node tells because the agent is its to tell (`owed`), and what somebody waits for
 * (`waiters`) though another node may tell it as well. A notice that is neither any more is dropped.
 *
 * Invariants: versions strictly rise in the order of the queue, over its whole life; at most `limit` notices wait; each notice pushed out for
 * want of room is counted in `skipped` of the one after it; every waiter is settled once. A notice on its way does not change and is not pushed out.
 */

import type { VariableNotice } from '../variables.ts';
import type { News } from './audiences.ts';

/** Told once: undefined when the agent acknowledged, otherwise why not. */
export type Settle = (reason: string | undefined) => void;

interface Entry {
  readonly news: News;
  readonly version: number;
  skipped: number;
  owed: boolean;
  state: 'waiting' | 'acknowledged' | 'dropped';
  readonly waiters: Set<Settle>;
}

export class NoticeQueue {
  readonly #variable: string;
  readonly #limit: number;
  #entries: Entry[] = [];
  /** The head is on its way. */
  #sending = false;
  /** What was queued last, as long as nobody else can have told the agent anything since. */
  #last: Entry | undefined;
  #version = 0;
  /** Skipped when nothing was queued after it. */
  #skipped = 0;

  constructor(variable: string, limit: number) {
    this.#variable = variable;
    this.#limit = limit;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Queues news that this node owes. The agreement that was queued last is not queued again. */
  tell(news: News, stamp: number): void {
    const same = this.#sameAgreement(news);
    if (same === undefined) this.#push(news, stamp, true);
    else if (same.state === 'waiting') same.owed = true;
  }

  /** Queues news for somebody who waits. The function returned ends the waiting without settling; what is not owed is then dropped. */
  wait(news: News, stamp: number, settle: Settle): () => void {
    const same = this.#sameAgreement(news);
    if (same?.state === 'acknowledged') {
      settle(undefined);
      return () => undefined;
    }
    const entry = same ?? this.#push(news, stamp, false);
    if (entry.state !== 'waiting') return () => undefined;
    entry.waiters.add(settle);
    return () => {
      entry.waiters.delete(settle);
      this.#dropIfUnwanted(entry);
    };
  }

  /** The notice whose turn it is, from now on on its way; undefined when there is none, or one is already. */
  begin(): { readonly news: News; readonly notice: VariableNotice } | undefined {
    const head = this.#entries[0];
    if (head === undefined || this.#sending) return undefined;
    this.#sending = true;
    const { news, version, skipped } = head;
    const { value, agreed } = news;
    return { news, notice: { variable: this.#variable, value, version, agreed, skipped } };
  }

  /** The notice on its way was acknowledged. */
  acknowledged(): void {
    this.#sending = false;
    const head = this.#entries.shift();
    if (head !== undefined) settleAll(head, 'acknowledged', undefined);
  }

  /** The notice on its way did not get there, and stays the head, as long as anybody wants it. */
  failed(): void {
    this.#sending = false;
    const head = this.#entries[0];
    if (head !== undefined) this.#dropIfUnwanted(head);
  }

  /** The notice on its way is given up, and counts as skipped. */
  skip(reason: string): void {
    this.#sending = false;
    this.#pushOut(0, reason);
  }

  /** The agent is another node's to tell from now on: only what somebody here waits for stays. */
  release(): void {
    this.#last = undefined;
    for (const entry of [...this.#entries]) {
      entry.owed = false;
      this.#dropIfUnwanted(entry);
    }
  }

  /** Nothing is told any more. */
  abandon(reason: string): void {
    const entries = this.#entries;
    this.#entries = [];
    this.#sending = false;
    this.#last = undefined;
    for (const entry of entries) settleAll(entry, 'dropped', reason);
  }

  #sameAgreement({ at }: News): Entry | undefined {
    const last = this.#last;
    return at !== undefined && last?.news.at === at && last.state !== 'dropped' ? last : undefined;
  }

  #push(news: News, stamp: number, owed: boolean): Entry {
    this.#version = Math.max(this.#version + 1, stamp);
    const entry: Entry = {
      news,
      version: this.#version,
      skipped: this.#skipped,
      owed,
      state: 'waiting',
      waiters: new Set(),
    };
    this.#skipped = 0;
    this.#entries.push(entry);
    this.#last = entry;
    if (this.#entries.length > this.#limit) {
      this.#pushOut(this.#sending ? 1 : 0, `it was pushed out: ${this.#limit} later notices wait for this agent`);
    }
    return entry;
  }

  #pushOut(index: number, reason: string): void {
    const [out] = this.#entries.splice(index, 1);
    if (out === undefined) return;
    this.#countSkipped(index, out.skipped + 1);
    settleAll(out, 'dropped', reason);
  }

  /** What is missing before the notice at `index` is counted there, or in the one that comes. */
  #countSkipped(index: number, count: number): void {
    const next = this.#entries[index];
    if (next === undefined) this.#skipped += count;
    else next.skipped += count;
  }

  #dropIfUnwanted(entry: Entry): void {
    if (entry.owed || entry.waiters.size > 0) return;
    const index = this.#entries.indexOf(entry);
    // What is on its way is only dropped when it has failed.
    if (index < 0 || (index === 0 && this.#sending)) return;
    this.#entries.splice(index, 1);
    this.#countSkipped(index, entry.skipped);
    entry.state = 'dropped';
  }
}

function settleAll(entry: Entry, state: 'acknowledged' | 'dropped', reason: string | undefined): void {
  entry.state = state;
  const waiters = [...entry.waiters];
  entry.waiters.clear();
  for (const settle of waiters) settle(reason);
}
