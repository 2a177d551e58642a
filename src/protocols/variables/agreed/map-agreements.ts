/**
 * Agreements as entries of one ordered map, `quorate/variables`: a proposal is one ordered command, a compare-and-set on the entry of the name, and what is
 * agreed on is heard by watching the map.
 *
 * The validators see to the order, not to the content: any member may write that map. What is no agreement, or does not fit the definition here, is
 * void: as if there were none, also for `ifVersion`. So nodes with the same definition have the same agreement whenever they joined, and an entry
 * that makes no sense stands in nobody's way.
 *
 * One watch for all names, since each watch asks the validators now and then whether it has missed something; none while nobody follows.
 */
import type { Clock, Timer } from '../../../clock.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { HybridClock } from '../../../hlc.ts';
import type { Value } from '../../../value.ts';
import type { Atoms, MapChange, StrongMap } from '../../coordination/atoms/atoms.ts';
import { mayPass } from '../../coordination/grants/pause.ts';
import type { OrderingOptions } from '../../coordination/ordering.ts';
import { fromEntry, toEntry } from './agreement-entry.ts';
import type { Agreed, AgreementListener, Agreements, Proposal } from './agreements.ts';

export const agreementsMap = 'quorate/variables';

/** Between attempts to read or watch, milliseconds. */
const retryMs = 1_000;
/** Void entries that one proposal puts aside, at most: each is one more command, and somebody writes them as fast. */
const maxPutAside = 3;

export interface MapAgreementsTools {
  readonly coordination: Pick<Atoms, 'map'>;
  readonly clock: Clock;
  /** Refuses stamps that are too far ahead. */
  readonly hlc: Pick<HybridClock, 'observe'>;
  readonly onError: (error: unknown, where: string) => void;
}

interface Followed {
  readonly listener: AgreementListener;
  /** Version of the last change heard of, void ones included; 0 before the first. */
  heard: number;
  agreed: Agreed | undefined;
  retry: Timer | undefined;
}

export interface AgreementsStatus {
  readonly followed: number;
  /** Entries of the map that were void, since the start. */
  readonly refused: number;
}

export class MapAgreements implements Agreements {
  readonly #map: StrongMap<Value>;
  readonly #clock: Clock;
  readonly #hlc: MapAgreementsTools['hlc'];
  readonly #onError: MapAgreementsTools['onError'];
  readonly #followed = new Map<string, Followed>();
  /** Aborting it ends the watch. Undefined while there is none. */
  #watch: AbortController | undefined;
  #restart: Timer | undefined;
  #refused = 0;
  #stopped = false;

  constructor({ coordination, clock, hlc, onError }: MapAgreementsTools) {
    this.#map = coordination.map<Value>(agreementsMap);
    this.#clock = clock;
    this.#hlc = hlc;
    this.#onError = onError;
  }

  async propose(name: string, proposal: Proposal, options?: OrderingOptions): Promise<{ readonly version: number }> {
    const { ifVersion, value, definition, at } = proposal;
    const entry = toEntry(proposal);
    const version =
      ifVersion === undefined
        ? (await this.#map.set(name, entry, options)).version
        : await this.#swap(name, ifVersion, entry, proposal, options);
    this.#hear(name, version, { value, definition, at, version });
    return { version };
  }

  follow(name: string, listener: AgreementListener): () => void {
    if (this.#stopped) throw new QuorateError('STOPPED', 'This mesh has stopped; create another.');
    if (this.#followed.has(name)) {
      throw new QuorateError('INVALID_ARGUMENT', `The agreements on '${name}' are followed already.`, { name });
    }
    const followed: Followed = { listener, heard: 0, agreed: undefined, retry: undefined };
    this.#followed.set(name, followed);
    if (this.#watch === undefined) this.#startWatch();
    // The watch told what was there before somebody wanted to know it.
    else void this.#read(name, followed);
    return () => this.#unfollow(name, followed);
  }

  current(name: string): Agreed | undefined {
    return this.#followed.get(name)?.agreed;
  }

  status(): AgreementsStatus {
    return { followed: this.#followed.size, refused: this.#refused };
  }

  stop(): void {
    this.#stopped = true;
    for (const [name, followed] of [...this.#followed]) this.#unfollow(name, followed);
  }

  /** One command, unless what it meets is void and the caller expects nothing there. */
  async #swap(
    name: string,
    ifVersion: number,
    entry: Value,
    proposal: Proposal,
    options: OrderingOptions | undefined,
  ): Promise<number> {
    let expected = ifVersion;
    for (let put = 0; ; put++) {
      const swap = await this.#map.compareAndSet(name, expected, entry, options);
      if (swap.ok) return swap.version;
      const void_ = swap.version > 0 && this.#isVoid(name, swap.version, swap.value, proposal);
      if (ifVersion !== 0 || !void_ || put === maxPutAside) throw conflict(name, ifVersion, void_ ? 0 : swap.version);
      expected = swap.version;
    }
  }

  #isVoid(name: string, version: number, value: Value, proposal: Proposal): boolean {
    const met = fromEntry(value, version);
    if (met === undefined || !this.#hlc.observe(met.at)) return true;
    // Nodes that are ahead of this one understand what it cannot judge.
    if (met.definition.version > proposal.definition.version) return false;
    const listener = this.#followed.get(name)?.listener;
    return listener !== undefined && !this.#accepts(name, listener, met);
  }

  #startWatch(): void {
    this.#restart?.cancel();
    this.#restart = undefined;
    const watch = new AbortController();
    this.#watch = watch;
    void this.#follow(watch);
  }

  async #follow(watch: AbortController): Promise<void> {
    const { signal } = watch;
    try {
      for await (const change of this.#map.watch({ prefix: '' }, { signal })) this.#onChange(change);
    } catch (error) {
      // It outlasts what passes; so this is a mesh that stops, or something that this version does not understand.
      if (!signal.aborted && !isQuorateError(error, 'STOPPED')) this.#onError(error, 'agreements on variables');
    }
    if (signal.aborted || this.#stopped) return;
    this.#restart = this.#clock.after(retryMs, () => this.#startWatch());
  }

  #onChange(change: MapChange<Value>): void {
    const { key, version, deleted } = change;
    if (this.#followed.has(key)) this.#hear(key, version, deleted ? undefined : this.#parse(change.value, version));
  }

  /** Reads one name that was not followed while the watch came by. */
  async #read(name: string, followed: Followed): Promise<void> {
    try {
      const found = await this.#map.get(name);
      if (this.#followed.get(name) !== followed || found === undefined) return;
      this.#hear(name, found.version, this.#parse(found.value, found.version));
    } catch (error) {
      if (this.#followed.get(name) !== followed) return;
      if (!mayPass(error)) this.#onError(error, `what is agreed on variable '${name}'`);
      followed.retry = this.#clock.after(retryMs, () => void this.#read(name, followed));
    }
  }

  #parse(value: Value, version: number): Agreed | undefined {
    const agreed = fromEntry(value, version);
    if (agreed !== undefined && this.#hlc.observe(agreed.at)) return agreed;
    this.#refused += 1;
    return undefined;
  }

  #hear(name: string, version: number, agreed: Agreed | undefined): void {
    const followed = this.#followed.get(name);
    if (followed === undefined || version <= followed.heard) return;
    followed.heard = version;
    const accepted = agreed !== undefined && this.#accepts(name, followed.listener, agreed) ? agreed : undefined;
    if (agreed !== undefined && accepted === undefined) this.#refused += 1;
    if (followed.agreed === undefined && accepted === undefined) return;
    followed.agreed = accepted;
    try {
      followed.listener.onAgreed(accepted);
    } catch (error) {
      this.#onError(error, `listener of the agreements on '${name}'`);
    }
  }

  #accepts(name: string, listener: AgreementListener, agreed: Agreed): boolean {
    try {
      return listener.accepts(agreed);
    } catch (error) {
      this.#onError(error, `check of the agreement on '${name}'`);
      return false;
    }
  }

  #unfollow(name: string, followed: Followed): void {
    if (this.#followed.get(name) !== followed) return;
    this.#followed.delete(name);
    followed.retry?.cancel();
    if (this.#followed.size > 0) return;
    this.#watch?.abort();
    this.#watch = undefined;
    this.#restart?.cancel();
    this.#restart = undefined;
  }
}

function conflict(name: string, expected: number, actual: number): QuorateError {
  const found = actual === 0 ? 'nothing is agreed on now' : `version ${actual} was agreed on meanwhile`;
  return new QuorateError(
    'CONFLICT',
    `Variable '${name}' is not at agreed version ${expected}: ${found}. Read 'agreed' again and decide anew.`,
    { key: name, expected, actual },
  );
}
