/**
 * A stream that a policy has to admit first, and is told the end of. It opens with the first item asked for; until that has come,
 * the message may still go to another agent.
 */
import type { AgentId } from '../../value.ts';
import type { AttemptEnd } from './call-policy.ts';
import { notDelivered, unknownOutcome } from './outcome.ts';

/** A stream whose first item, or end, is there. */
export interface OpenedStream<Item> {
  readonly items: AsyncIterator<Item>;
  readonly first: IteratorResult<Item>;
  readonly agent: AgentId;
  readonly end: AttemptEnd | undefined;
}

/** What an attempt needs of the stream it is made for. */
export interface Opening<Item> {
  first(open: () => AsyncIterator<Item>, agent: AgentId, end: AttemptEnd | undefined): Promise<OpenedStream<Item>>;
}

export class GuardedStream<Item> implements AsyncIterator<Item>, Opening<Item> {
  readonly #open: (opening: Opening<Item>) => Promise<OpenedStream<Item>>;
  #last: Promise<unknown> = Promise.resolve();
  /** Of the attempt under way. */
  #items: AsyncIterator<Item> | undefined;
  #opened: OpenedStream<Item> | undefined;
  #left = false;
  #over = false;

  constructor(open: (opening: Opening<Item>) => Promise<OpenedStream<Item>>) {
    this.#open = open;
  }

  next(): Promise<IteratorResult<Item>> {
    const step = this.#last.then(() => this.#step());
    this.#last = step.catch(() => undefined);
    return step;
  }

  async return(): Promise<IteratorResult<Item>> {
    const opened = this.#opened;
    this.#left = true;
    if (opened !== undefined && !this.#over) {
      this.#over = true;
      // It had given something, so whoever left had what it wanted.
      opened.end?.(undefined);
    }
    await this.#items?.return?.();
    return { done: true, value: undefined };
  }

  async first(
    open: () => AsyncIterator<Item>,
    agent: AgentId,
    end: AttemptEnd | undefined,
  ): Promise<OpenedStream<Item>> {
    if (this.#left) throw notDelivered(agent, 'cancelled');
    const items = open();
    this.#items = items;
    const first = await items.next();
    // Left while it was waiting for the first item: nobody knows what the handler has done.
    if (this.#left) throw unknownOutcome(agent, 'cancelled');
    return { items, first, agent, end };
  }

  async #step(): Promise<IteratorResult<Item>> {
    if (this.#left || this.#over) return { done: true, value: undefined };
    if (this.#opened === undefined) {
      const opened = await this.#opening();
      return opened === undefined ? { done: true, value: undefined } : this.#took(opened, opened.first);
    }
    const opened = this.#opened;
    try {
      return this.#took(opened, await opened.items.next());
    } catch (error) {
      this.#ended(opened, error);
      throw error;
    }
  }

  async #opening(): Promise<OpenedStream<Item> | undefined> {
    try {
      this.#opened = await this.#open(this);
      return this.#opened;
    } catch (error) {
      this.#over = true;
      if (this.#left) return undefined;
      throw error;
    }
  }

  #took(opened: OpenedStream<Item>, result: IteratorResult<Item>): IteratorResult<Item> {
    if (result.done === true) this.#ended(opened, undefined);
    return result;
  }

  #ended(opened: OpenedStream<Item>, error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    opened.end?.(error);
  }
}
