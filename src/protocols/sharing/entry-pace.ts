/**
 * How much of what one author writes is looked at, and when.
 *
 * Intuition: replication bounds envelopes and bytes, but one envelope may change hundreds of entries, and each change makes somebody work out a value, judge an alert,
 * divide a limit. So each author has an allowance of changes. What is beyond it is not lost: the keys are noted, and looked at later as they are then. An honest node, which coalesces what
 * it says, never meets the bound.
 *
 * Invariants: what is written last is looked at in the end, once; within any time `t` (seconds) at most `burst + t * perSecond` changes of an author are looked at, but for its coming
 * back as a whole, which is paid for afterwards.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';

/** Changes of one author: a fleet's node with a hundred of everything says less in a second. Guess. */
const perSecond = 2_000;
/** At once after a pause: all that a node with a thousand variables and some hundreds of breakers, limits and monitors has to say. */
const burst = 10_000;
/** What waits is looked at so often. */
const turnMs = 50;
/** Authors remembered whose allowance may be whole. */
const maxIdle = 1_024;

interface Author {
  tokens: number;
  at: number;
  readonly waiting: Set<string>;
  /** Asks to be looked at when its debts are paid, though no key waits. */
  isOwing: boolean;
}

export class EntryPace {
  readonly #clock: Clock;
  readonly #look: (author: NodeId, keys: readonly string[]) => void;
  readonly #authors = new Map<NodeId, Author>();
  #timer: Timer | undefined;
  /** Changes that were put off, since the start. */
  deferred = 0;

  /** `look`: the time has come for these keys of that author. */
  constructor(clock: Clock, look: (author: NodeId, keys: readonly string[]) => void) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Those of the changed keys that may be looked at now; the others wait. */
  admit(id: NodeId, keys: readonly string[]): readonly string[] {
    const author = this.#refilled(id);
    const room = author.waiting.size > 0 ? 0 : Math.max(0, Math.floor(author.tokens));
    const now = keys.slice(0, room);
    author.tokens -= now.length;
    for (const key of keys.slice(room)) author.waiting.add(key);
    if (author.waiting.size > 0) this.#arm();
    this.deferred += keys.length - now.length;
    return now;
  }

  /** Whether so much of an author may be looked at in one go; charged then, beyond what it has too. If not, `look` is called, perhaps without keys, when it may. */
  afford(id: NodeId, changes: number): boolean {
    const author = this.#refilled(id);
    author.isOwing = author.tokens < 0;
    if (author.isOwing) this.#arm();
    else author.tokens -= changes;
    return !author.isOwing;
  }

  /** Nothing of the author is there any more. Its debt stays, or it would be rid of it by going. */
  forget(id: NodeId): void {
    this.#authors.get(id)?.waiting.clear();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#authors.clear();
  }

  #refilled(id: NodeId): Author {
    const now = this.#clock.now();
    let author = this.#authors.get(id);
    if (author === undefined) {
      if (this.#authors.size >= maxIdle) this.#dropIdle(now);
      author = { tokens: burst, at: now, waiting: new Set(), isOwing: false };
      this.#authors.set(id, author);
    }
    author.tokens = tokensAt(author, now);
    author.at = now;
    return author;
  }

  /** Whose allowance is whole again need not be remembered. */
  #dropIdle(now: number): void {
    for (const [id, author] of this.#authors) {
      if (author.waiting.size === 0 && !author.isOwing && tokensAt(author, now) === burst) this.#authors.delete(id);
    }
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(turnMs, () => this.#turn());
  }

  #turn(): void {
    this.#timer = undefined;
    for (const [id, { waiting, isOwing }] of [...this.#authors]) {
      if (waiting.size === 0 && !isOwing) continue;
      const author = this.#refilled(id);
      const keys: string[] = [];
      for (const key of author.waiting) {
        if (keys.length >= author.tokens) break;
        keys.push(key);
      }
      for (const key of keys) author.waiting.delete(key);
      author.tokens -= keys.length;
      const isFree = author.isOwing && author.tokens >= 0;
      if (isFree) author.isOwing = false;
      if (isFree || keys.length > 0) this.#look(id, keys);
      if (waiting.size > 0 || author.isOwing) this.#arm();
    }
  }
}

function tokensAt({ tokens, at }: Author, now: number): number {
  return Math.min(burst, tokens + ((now - at) * perSecond) / 1_000);
}
