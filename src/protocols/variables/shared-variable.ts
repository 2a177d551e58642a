/**
 * One variable of this node: what `MeshVariables` hands out.
 *
 * Everything it shows is worked out when something changes, never when it is read. Inputs are this node's own contribution, the entries of others, what
 * the validators agreed on, and a timer where a choice must stay for a while; each ends in `#decide`, which is the only place where the value changes.
 */
import type { Clock, Timer } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import { defaultMaxAheadMs, type HybridClock, stampToMs } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import type { Audience, Audiences, News } from './affected/audiences.ts';
import type { Agreements } from './agreed/agreements.ts';
import { ChangeCursor } from './change-cursor.ts';
import { Contributions, type Reading } from './contributions.ts';
import { type Decision, decide, explain } from './decision.ts';
import type { Definition } from './definition.ts';
import { contributionKey, isPerformance } from './entries.ts';
import { History } from './history.ts';
import { OwnContribution } from './own-contribution.ts';
import { OwnDefinition } from './own-definition.ts';
import { SharedAgreement } from './shared-agreement.ts';
import type { Held } from './switching.ts';
import type {
  Contribution,
  CoordinateOptions,
  SetOptions,
  Variable,
  VariableChange,
  VariableExplanation,
  VariableStatus,
  VariableWrite,
} from './variables.ts';

export interface SharedVariableTools {
  readonly entries: SharedEntries;
  readonly hlc: HybridClock;
  readonly clock: Clock;
  readonly zone: string;
  readonly audience: Audiences | undefined;
  readonly agreements: Agreements | undefined;
  readonly onError: (error: unknown, where: string) => void;
  readonly onConflict: (name: string, error: QuorateError) => void;
  /** The name is free again. */
  readonly onDispose: (name: string) => void;
}

/** Time for agreeing and for the affected agents together, unless said. As of coordination. */
const defaultTimeoutMs = 10_000;
/** A definition that comes and goes is reported so often at most. */
const conflictPauseMs = 10_000;
/** A timer longer than that would not be one. */
const longestWaitMs = 3_600_000;

const nothing: ReadonlyMap<NodeId, Value> = new Map();

export class SharedVariable<T> implements Variable<T> {
  readonly name: string;
  readonly kind: Variable<T>['kind'];
  readonly definition: Definition<T>;
  readonly #tools: SharedVariableTools;
  readonly #contributions: Contributions<T>;
  readonly #ownDefinition: OwnDefinition<T>;
  readonly #own: OwnContribution<T>;
  readonly #agreement: SharedAgreement<T> | undefined;
  readonly #audience: Audience | undefined;
  readonly #history: History<VariableChange<T>>;
  readonly #cursors = new Set<ChangeCursor<VariableChange<T>>>();
  readonly #unwatch: (() => void)[] = [];
  #value: T;
  #version = 0;
  /** The choice shown, and since when. */
  #held: Held<T> | undefined;
  #reading: Reading<T> = { counted: [], ignored: [], held: [], cause: undefined, premature: undefined };
  #decision: Decision<T>;
  #timer: Timer | undefined;
  #hasEnded = false;
  #conflictToldAt = Number.NEGATIVE_INFINITY;

  /** Throws `DEFINITION_CONFLICT`, and what `SharedEntries.set` and `Audiences.open` throw; then nothing was begun. */
  constructor(definition: Definition<T>, tools: SharedVariableTools) {
    const { entries, hlc } = tools;
    this.definition = definition;
    this.name = definition.name;
    this.kind = definition.kind.name;
    this.#tools = tools;
    this.#value = definition.default;
    this.#decision = { value: definition.default, source: 'default', shown: undefined };
    this.#history = new History(definition.historySize);
    const isInScope = (node: NodeId): boolean => this.#isInScope(node);
    this.#contributions = new Contributions({ self: entries.self, definition, hlc, isInScope });
    this.#own = new OwnContribution(definition, tools);
    this.#ownDefinition = new OwnDefinition(definition, {
      entries,
      hlc,
      isInScope,
      onChange: () => this.#onDefinitions(),
    });
    this.#audience = this.#openAudience();
    this.#agreement = this.#openAgreement();
    if (definition.scope !== 'node') {
      this.#unwatch.push(
        entries.onKey(contributionKey(this.name), () => {
          if (!this.#own.isWriting) this.#decide();
        }),
      );
    }
    try {
      this.#ownDefinition.start();
    } catch (error) {
      this.stop();
      throw error;
    }
    this.#decide();
    this.#agreement?.start();
  }

  get value(): T {
    return this.#value;
  }

  get version(): number {
    return this.#version;
  }

  get agreed(): { readonly value: T; readonly version: number } | undefined {
    const agreed = this.#agreement?.agreed;
    return agreed === undefined ? undefined : { value: agreed.value, version: agreed.version };
  }

  get conflict(): Error | undefined {
    return this.#ownDefinition.conflict;
  }

  async set(value: T, options: SetOptions = {}): Promise<VariableWrite<T>> {
    this.#refuseUnusable();
    options.signal?.throwIfAborted();
    const { kind, sync, maxWeight } = this.definition;
    const taken = kind.accept(value);
    if (sync === 'strong') {
      if (options.weight !== undefined) throw this.#wrong('weight', 'has no meaning for a strong variable');
      return this.#agree(taken, options);
    }
    if (options.ifVersion !== undefined) {
      throw this.#wrong('ifVersion', "needs sync: 'strong'; to agree on a value once: coordinate");
    }
    const { weight = this.#usualWeight() } = options;
    if (!(Number.isFinite(weight) && weight >= 0 && weight <= maxWeight)) {
      throw this.#wrong('weight', `must be a number from 0 to ${maxWeight}`);
    }
    const at = this.#tools.hlc.now();
    this.#contribute({ node: this.#tools.entries.self, value: taken, weight, performance: undefined, at });
    return { value: taken, version: this.#version, acknowledged: [], unacknowledged: [] };
  }

  report(performance: number): void {
    this.#refuseUnusable();
    if (!isPerformance(performance)) throw this.#wrong('performance', 'must be a number from 0 to 1');
    if (this.definition.sync === 'strong') {
      throw this.#wrong('performance', 'has no meaning for a strong variable: its one value is not weighed');
    }
    const { entries, hlc } = this.#tools;
    const own = this.#contributes ? this.#own.current : undefined;
    this.#contribute(
      own === undefined
        ? { node: entries.self, value: this.#value, weight: this.#usualWeight(), performance, at: hlc.now() }
        : { ...own, performance },
    );
  }

  withdraw(): void {
    if (this.#own.current === undefined || this.#hasEnded) return;
    this.#own.withdraw();
    this.#decide(this.#tools.entries.self);
  }

  watch({ signal }: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterable<VariableChange<T>> {
    const onAbort = (): void => cursor.end();
    const cursor = new ChangeCursor<VariableChange<T>>(() => {
      this.#cursors.delete(cursor);
      signal?.removeEventListener('abort', onAbort);
    });
    this.#cursors.add(cursor);
    signal?.addEventListener('abort', onAbort);
    if (this.#hasEnded || signal?.aborted === true) cursor.end();
    return cursor;
  }

  history(count: number = Number.POSITIVE_INFINITY): readonly VariableChange<T>[] {
    return this.#history.last(count);
  }

  contributions(): readonly Contribution<T>[] {
    return this.#reading.counted;
  }

  explain(): VariableExplanation<T> {
    return explain(this.definition, this.#reading, this.#decision);
  }

  async coordinate(options: CoordinateOptions<T>): Promise<VariableWrite<T>> {
    this.#refuseUnusable();
    if (options?.consistency !== 'strong') throw this.#wrong('consistency', "must be 'strong'");
    if (this.definition.scope !== 'cluster') throw this.#wrong('scope', "of the variable must be 'cluster'");
    const { value = this.#value } = options;
    return this.#agree(this.definition.kind.accept(value), options);
  }

  [Symbol.dispose](): void {
    if (this.#hasEnded) return;
    this.stop();
    const { entries, onDispose } = this.#tools;
    entries.delete(contributionKey(this.name));
    this.#ownDefinition.withdraw();
    this.#agreement?.withdraw();
    onDispose(this.name);
  }

  /** Ends everything here; entries stay as they are. Idempotent. */
  stop(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const unwatch of this.#unwatch) unwatch();
    this.#ownDefinition.stop();
    this.#timer?.cancel();
    this.#own.stop();
    this.#agreement?.stop();
    this.#audience?.stop();
    for (const cursor of [...this.#cursors]) cursor.end();
  }

  /** Nodes have come or gone, or changed zones. */
  onNodes(): void {
    if (this.#hasEnded || this.definition.scope !== 'zone') return;
    this.#ownDefinition.review();
    this.#decide();
  }

  status(): VariableStatus {
    const { counted, ignored } = this.#reading;
    const stamps = counted.map(({ at }) => stampToMs(at));
    const { affected, untold } = this.#audience?.status() ?? { affected: 0, untold: 0 };
    const { scope, sync, rule, version } = this.definition;
    return {
      name: this.name,
      kind: this.kind,
      scope,
      sync,
      rule: rule.name,
      definedVersion: version,
      value: this.#value as Value,
      version: this.#version,
      contributions: counted.length,
      ignored: ignored.length,
      skewMs: stamps.length === 0 ? 0 : Math.max(...stamps) - Math.min(...stamps),
      conflict: this.#ownDefinition.conflict?.message,
      affected,
      untold,
    };
  }

  /** Whether this node's own contribution counts. */
  get #contributes(): boolean {
    return this.#own.current !== undefined && this.#own.current.at > this.#baseline;
  }

  /** Contributions up to this stamp count no more. */
  get #baseline(): number {
    return this.#agreement?.agreed?.at ?? 0;
  }

  #contribute(own: Contribution<T>): void {
    this.#own.set(own);
    this.#decide(own.node);
  }

  /** Reads what all say and works out the value anew. `cause`: who made the change, when that is known. */
  #decide(cause?: NodeId): void {
    const { entries, hlc, clock } = this.#tools;
    const said = this.definition.scope === 'node' ? nothing : entries.of(contributionKey(this.name));
    this.#reading = this.#contributions.read(said, this.#own.said, this.#baseline);
    if (this.#ownDefinition.conflict !== undefined) return;
    this.#decision = decide(this.definition, this.#reading, {
      agreed: this.#agreement?.agreed,
      held: this.#held,
      contributes: this.#contributes,
      wallNowMs: clock.wallNow(),
      stamp: () => hlc.now(),
    });
    const { shown, value } = this.#decision;
    this.#held = shown?.held;
    this.#plan();
    this.#show(value, cause ?? this.#reading.cause);
    if (shown?.write === true) this.#own.hold(shown.held);
  }

  /** Sets the one timer: the end of a cooldown, or of a stamp's being too far ahead. */
  #plan(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { premature } = this.#reading;
    const { clock } = this.#tools;
    const waits = [
      this.#decision.shown?.againInMs,
      premature === undefined ? undefined : stampToMs(premature) - defaultMaxAheadMs - clock.wallNow(),
    ].filter((wait) => wait !== undefined);
    if (waits.length === 0) return;
    const wait = Math.min(longestWaitMs, Math.max(1, Math.ceil(Math.min(...waits)) + 1));
    this.#timer = clock.after(wait, () => this.#decide());
  }

  #show(value: T, cause: NodeId | undefined): void {
    const isStrong = this.definition.sync === 'strong';
    const version = isStrong ? (this.#agreement?.agreed?.version ?? 0) : this.#version + 1;
    const previous = this.#value;
    const { kind } = this.definition;
    const isSame = Object.is(value, previous) || kind.keyOf(value) === kind.keyOf(previous);
    if (isSame) {
      if (isStrong) this.#version = version;
      return;
    }
    this.#value = value;
    this.#version = version;
    const change = Object.freeze({ value, previous, version, at: this.#tools.clock.wallNow(), cause });
    this.#history.add(change);
    for (const cursor of [...this.#cursors]) cursor.push(change);
    this.#audience?.tell(this.#news());
  }

  #news(): News {
    const isAgreed = this.#decision.source === 'agreed';
    const at = isAgreed ? this.#agreement?.agreed?.at : undefined;
    return { value: this.#value as Value, agreed: isAgreed, ...(at === undefined ? {} : { at }) };
  }

  #openAudience(): Audience | undefined {
    const { affects } = this.definition;
    if (affects === undefined) return undefined;
    const { audience } = this.#tools;
    if (audience === undefined) throw this.#wrong('affects', 'cannot be had here: nobody tells agents');
    return audience.open({
      name: this.name,
      affects,
      definers: () => this.#ownDefinition.definers(),
      present: () => (this.#version === 0 ? undefined : this.#news()),
    });
  }

  #openAgreement(): SharedAgreement<T> | undefined {
    const { agreements, entries } = this.#tools;
    const { definition } = this;
    if (agreements === undefined || definition.scope !== 'cluster') return undefined;
    return new SharedAgreement({ definition, agreements, entries, onAgreed: () => this.#decide() });
  }

  async #agree(value: T, options: SetOptions | CoordinateOptions<T>): Promise<VariableWrite<T>> {
    const { ifVersion, signal, timeoutMs = defaultTimeoutMs } = options;
    if (ifVersion !== undefined && !(Number.isSafeInteger(ifVersion) && ifVersion >= 0)) {
      throw this.#wrong('ifVersion', 'must be a whole number, 0 for none');
    }
    if (this.#agreement === undefined) {
      throw new QuorateError(
        'NO_VALIDATORS',
        `Variable "${this.name}" cannot be agreed on: this node has no coordination. Give the mesh validators.`,
        { variable: this.name },
      );
    }
    const { clock, hlc } = this.#tools;
    const began = clock.now();
    const at = hlc.now();
    const { version } = await this.#agreement.propose(value, at, ifVersion, { signal, timeoutMs });
    const left = Math.max(1, timeoutMs - (clock.now() - began));
    const news: News = { value: value as Value, agreed: true, at };
    const told = await this.#audience?.tellAndWait(news, { signal, timeoutMs: left });
    const { acknowledged, unacknowledged } = told ?? { acknowledged: [], unacknowledged: [] };
    return { value, version, acknowledged, unacknowledged };
  }

  #isInScope(node: NodeId): boolean {
    const { entries, zone } = this.#tools;
    return this.definition.scope !== 'zone' || node === entries.self || entries.zoneOf(node) === zone;
  }

  #onDefinitions(): void {
    const { conflict, hadConflict } = this.#ownDefinition;
    this.#audience?.definersChanged();
    const now = this.#tools.clock.now();
    if (conflict !== undefined && !hadConflict && now >= this.#conflictToldAt + conflictPauseMs) {
      this.#conflictToldAt = now;
      this.#tools.onConflict(this.name, conflict);
    }
    if (conflict === undefined && hadConflict) this.#decide();
  }

  #usualWeight(): number {
    return this.#own.current?.weight ?? Math.min(1, this.definition.maxWeight);
  }

  #refuseUnusable(): void {
    if (this.#hasEnded) {
      throw new QuorateError('STOPPED', `Variable "${this.name}" was disposed of, or its mesh has stopped.`, {
        variable: this.name,
      });
    }
    if (this.#ownDefinition.conflict !== undefined) throw this.#ownDefinition.conflict;
  }

  #wrong(field: string, why: string): QuorateError {
    return new QuorateError('INVALID_ARGUMENT', `Variable "${this.name}": ${field} ${why}.`, {
      fields: { [field]: why },
    });
  }
}
