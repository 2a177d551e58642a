/**
 * What was already asked, by idempotency key: a repeat joins the run that is under way, or gets the outcome
 * of the one that ended. Pure. Keys belong to a caller node and an agent: nobody reads another's replies.
 *
 * Bounded three ways (entries, entries of one caller, bytes of outcomes). Entries under way are never
 * forgotten, or a repeat would run twice; when a caller has only such ones, its next key is refused.
 * The window is therefore a promise with an end: a repeat after `keepMs`, or after so many other keys that
 * its own was pushed out, runs again.
 */

export interface DedupLimits {
  readonly keepMs: number;
  readonly entries: number;
  readonly entriesPerCaller: number;
  readonly bytes: number;
}

export class DedupEntry<Run, Outcome> {
  readonly caller: string;
  readonly key: string;
  readonly run: Run;
  outcome: Outcome | undefined = undefined;
  bytes = 0;
  settledAt = 0;

  constructor(caller: string, key: string, run: Run) {
    this.caller = caller;
    this.key = key;
    this.run = run;
  }
}

export type DedupAnswer<Run, Outcome> =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'running'; readonly run: Run }
  | { readonly kind: 'settled'; readonly outcome: Outcome };

export class DedupWindow<Run, Outcome> {
  readonly #limits: DedupLimits;
  /** Per caller, in order of arrival and, once settled, of settling. */
  readonly #callers = new Map<string, Map<string, DedupEntry<Run, Outcome>>>();
  /** Settled entries of all callers, oldest first. */
  readonly #settled = new Set<DedupEntry<Run, Outcome>>();
  #entries = 0;
  #bytes = 0;

  constructor(limits: DedupLimits) {
    this.#limits = limits;
  }

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#bytes;
  }

  find(caller: string, key: string, now: number): DedupAnswer<Run, Outcome> {
    this.#expire(now);
    const entry = this.#callers.get(caller)?.get(key);
    if (entry === undefined) return { kind: 'unknown' };
    if (entry.outcome === undefined) return { kind: 'running', run: entry.run };
    return { kind: 'settled', outcome: entry.outcome };
  }

  /** Remembers a run that begins, for a key that `find` did not know. Undefined when there is no room. */
  begin(caller: string, key: string, run: Run): DedupEntry<Run, Outcome> | undefined {
    const own = this.#callers.get(caller);
    if (own !== undefined && own.size >= this.#limits.entriesPerCaller && !this.#forgetOldest(own)) return undefined;
    if (this.#entries >= this.#limits.entries && !this.#forgetOldestOfAll()) return undefined;
    const entry = new DedupEntry<Run, Outcome>(caller, key, run);
    const map = this.#callers.get(caller) ?? new Map<string, DedupEntry<Run, Outcome>>();
    map.set(key, entry);
    this.#callers.set(caller, map);
    this.#entries += 1;
    return entry;
  }

  /** The run ended; repeats get this outcome. Each entry is settled or abandoned once. */
  settle(entry: DedupEntry<Run, Outcome>, outcome: Outcome, bytes: number, now: number): void {
    if (!this.#holds(entry) || entry.outcome !== undefined) return;
    if (bytes > this.#limits.bytes) {
      this.#remove(entry);
      return;
    }
    entry.outcome = outcome;
    entry.bytes = bytes;
    entry.settledAt = now;
    const own = this.#callers.get(entry.caller);
    own?.delete(entry.key);
    own?.set(entry.key, entry);
    this.#settled.add(entry);
    this.#bytes += bytes;
    while (this.#bytes > this.#limits.bytes) this.#forgetOldestOfAll();
  }

  /** The run never began (refused, expired in the queue): a repeat is a first try. */
  abandon(entry: DedupEntry<Run, Outcome>): void {
    if (this.#holds(entry)) this.#remove(entry);
  }

  #holds(entry: DedupEntry<Run, Outcome>): boolean {
    return this.#callers.get(entry.caller)?.get(entry.key) === entry;
  }

  #expire(now: number): void {
    for (const entry of this.#settled) {
      if (now - entry.settledAt < this.#limits.keepMs) return;
      this.#remove(entry);
    }
  }

  #forgetOldest(own: Map<string, DedupEntry<Run, Outcome>>): boolean {
    for (const entry of own.values()) {
      if (entry.outcome === undefined) continue;
      this.#remove(entry);
      return true;
    }
    return false;
  }

  #forgetOldestOfAll(): boolean {
    for (const entry of this.#settled) {
      this.#remove(entry);
      return true;
    }
    return false;
  }

  #remove(entry: DedupEntry<Run, Outcome>): void {
    const own = this.#callers.get(entry.caller);
    if (own?.delete(entry.key) !== true) return;
    if (own.size === 0) this.#callers.delete(entry.caller);
    this.#settled.delete(entry);
    this.#entries -= 1;
    this.#bytes -= entry.bytes;
  }
}
