/**
 * The registry over a merged view: everything but where this node's records are written and what is
 * known of other nodes. `LocalRegistry` and `ClusterRegistry` add just that, so they cannot drift apart.
 */

import type { Rng } from '../../clock.ts';
import {
  compileCriteria,
  compilePath,
  invalidCriteria,
  type Path,
  sortRecords,
  type Test,
} from '../../crdt/registry-criteria.ts';
import type { AgentRecord, StrongClaim } from '../../crdt/registry-record.ts';
import { RegistryView, type ViewChange } from '../../crdt/registry-view.ts';
import { QuorateError } from '../../errors.ts';
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { AgentHandler, LocalHandlers } from '../messaging/messaging.ts';
import { type OnError, runBatch } from './batch.ts';
import { type ExclusiveName, type ExclusiveNames, noNames } from './exclusive-names.ts';
import type { CustomSchema } from './metadata.ts';
import { OwnAgents, type OwnRegistration } from './own-agents.ts';
import type { Criteria, QueryOptions, ResolveOptions, ResolveStrategy } from './records.ts';
import type {
  AgentMetadata,
  BatchOperation,
  BatchResult,
  RegisterOptions,
  Registration,
  Registry,
  RegistryEvent,
} from './registry.ts';
import { Strategies } from './strategies.ts';
import { WatchCursor } from './watch.ts';
import { asCustom, type RecordSink, Writes } from './writes.ts';

export interface RegistryDependencies<Custom = Record<string, Value>> {
  readonly self: NodeId;
  /** Of this node; its agents inherit it. */
  readonly zone: string;
  readonly hlc: HybridClock;
  readonly rng: Rng;
  /** Checks the `custom` metadata of agents registered here. */
  readonly schema?: CustomSchema<Custom> | undefined;
  /** Agents this node may have. */
  readonly maxAgents: number;
  /** Calls sent from here to that agent and not yet answered. Default: none, which leaves `leastLoaded` with capacities. */
  readonly pendingCalls?: ((agent: AgentId) => number) | undefined;
  /** Who grants ids for `consistency: 'strong'`. Default: nobody does. */
  readonly names?: (() => ExclusiveNames) | undefined;
  /** Told of exceptions that listeners of the application throw. */
  readonly onListenerError: (error: unknown, type: string) => void;
}

export abstract class ViewRegistry<Custom = Record<string, Value>> implements Registry<Custom> {
  protected readonly view: RegistryView;
  /** The handlers of this process, for messaging. */
  readonly handlers: LocalHandlers;
  readonly #own: OwnAgents<Custom>;
  readonly #writes: Writes<Custom>;
  readonly #strategies: Strategies;
  readonly #context: Parameters<ResolveStrategy<Custom>>[1];
  readonly #scopes: {
    readonly cluster: readonly Test[];
    readonly zone: readonly Test[];
    readonly node: readonly Test[];
  };
  readonly #cursors = new Set<WatchCursor>();
  readonly #names: () => ExclusiveNames;
  #stopped = false;

  protected constructor(dependencies: RegistryDependencies<Custom>) {
    const { self, zone, hlc, rng, onListenerError, pendingCalls = () => 0 } = dependencies;
    this.view = new RegistryView(onListenerError);
    this.#names = dependencies.names ?? (() => noNames);
    this.#own = new OwnAgents(onListenerError);
    this.handlers = this.#own;
    const sink: RecordSink = { write: (record) => this.write(record), erase: (id) => this.erase(id) };
    this.#writes = new Writes({
      self,
      zone,
      schema: dependencies.schema,
      maxAgents: dependencies.maxAgents,
      sink,
      own: this.#own,
      owner: {
        update: (registration, changes) => this.#update(registration, changes),
        unregister: (registration) => this.#unregister(registration),
      },
      assertRunning: () => this.#assertRunning(),
      find: (id) => this.view.get(id),
      stamp: () => hlc.now(),
      onListenerError,
    });
    this.#context = {
      self,
      zone,
      rttMs: (node) => (node === self ? 0 : this.rttMs(node)),
      freeCapacity: (node) => this.freeCapacity(node),
      pendingCalls,
      random: () => rng.float(),
    };
    this.#strategies = new Strategies(this.#context);
    this.#scopes = { cluster: [], zone: compileCriteria({ zone }), node: compileCriteria({ node: self }) };
    // Before any watch, so that the loss of an id is settled when watchers hear of it.
    this.view.on('changes', (changes) => this.#concede(changes, self));
  }

  /** Makes the record of this node visible here, and everywhere in time. Throws and changes nothing, or does all. */
  protected abstract write(record: AgentRecord): void;
  protected abstract erase(id: AgentId): void;
  protected abstract isSuspect(node: NodeId): boolean;
  protected abstract rttMs(node: NodeId): number | undefined;
  protected abstract freeCapacity(node: NodeId): Readonly<Record<string, number>>;

  async register(
    id: AgentId,
    handler: AgentHandler,
    metadata: AgentMetadata<Custom>,
    options: RegisterOptions = {},
  ): Promise<Registration<Custom>> {
    this.#assertRunning();
    const { consistency = 'eventual' } = options;
    if (consistency === 'strong') return this.#registerStrong(id, handler, metadata, options);
    if (consistency !== 'eventual') {
      throw new QuorateError('INVALID_ARGUMENT', "consistency must be 'eventual' or 'strong'.", { consistency });
    }
    const step = await this.#writes.register(id, handler, metadata, () => undefined);
    const applied = step();
    applied.commit();
    return applied.registration as OwnRegistration<Custom>;
  }

  async #registerStrong(
    id: AgentId,
    handler: AgentHandler,
    metadata: AgentMetadata<Custom>,
    options: RegisterOptions,
  ): Promise<Registration<Custom>> {
    let grant: ExclusiveName | undefined;
    const strong = (): StrongClaim | undefined => grant && Object.freeze({ token: grant.token, proof: grant.proof });
    // All that can be wrong with the rest is said before the validators are asked.
    const step = await this.#writes.register(id, handler, metadata, strong);
    const names = this.#names();
    grant = await names.claim(id, options);
    let registration: OwnRegistration<Custom>;
    try {
      const applied = step();
      applied.commit();
      registration = applied.registration as OwnRegistration<Custom>;
    } catch (error) {
      await names.release(id);
      throw error;
    }
    const onLost = (): void => this.#loseGrant(registration);
    if (grant.signal.aborted) onLost();
    else grant.signal.addEventListener('abort', onLost, { once: true });
    return registration;
  }

  /** The validators may give the id to somebody else now. */
  #loseGrant(registration: OwnRegistration<Custom>): void {
    if (!registration.active || this.#stopped) return;
    const { id } = registration;
    this.#own.detach(registration);
    this.erase(id);
    this.#own.announceGone(registration);
    const record = registration.record as AgentRecord<unknown> as AgentRecord;
    registration.lose({ id, reason: 'lease', record, winner: this.view.get(id) });
  }

  async batch(
    operations: readonly BatchOperation<Custom>[],
    options: { readonly onError?: OnError } = {},
  ): Promise<BatchResult<Custom>> {
    this.#assertRunning();
    return runBatch(this.#writes, operations, options.onError ?? 'continue');
  }

  lookup(id: AgentId): AgentRecord<Custom> | undefined {
    if (this.#stopped) throw stopped();
    return this.view.get(id) as AgentRecord<Custom> | undefined;
  }

  query(criteria?: Criteria, options?: QueryOptions): AgentRecord<Custom>[] {
    this.#assertRunning();
    const tests = this.#tests(criteria, options?.scope);
    if (options === undefined) return this.view.select(tests) as AgentRecord<unknown>[] as AgentRecord<Custom>[];
    const limit = checkLimit(options.limit);
    const order = checkOrder(options.orderBy);
    const records = this.view.select(tests, order === undefined ? limit : undefined);
    if (order !== undefined) {
      sortRecords(records, order.path, order.direction);
      if (records.length > limit) records.length = limit;
    }
    return records as AgentRecord<unknown>[] as AgentRecord<Custom>[];
  }

  count(criteria?: Criteria, options?: Pick<QueryOptions, 'scope'>): number {
    this.#assertRunning();
    return this.view.count(this.#tests(criteria, options?.scope));
  }

  resolve(target: AgentId | Criteria, options: ResolveOptions<Custom> = {}): AgentRecord<Custom> | undefined {
    this.#assertRunning();
    const { strategy = 'nearestHealthy', exclude } = options;
    const tests = this.#tests(typeof target === 'string' ? { id: target } : target, options.scope);
    const found = this.view.select(tests).filter(({ id }) => !exclude?.includes(id));
    if (typeof target === 'string') return found[0] && asCustom<Custom>(found[0]);
    const callable = found.filter(({ health }) => health !== 'unhealthy');
    const trusted = callable.filter(({ node }) => !this.isSuspect(node));
    const candidates = trusted.length > 0 ? trusted : callable;
    if (candidates.length === 0) return undefined;
    if (typeof strategy === 'function') {
      return this.#ask(strategy, candidates as AgentRecord<unknown>[] as AgentRecord<Custom>[]);
    }
    const chosen = this.#strategies.choose(strategy, candidates, tests);
    if (chosen !== undefined) return chosen.record && asCustom<Custom>(chosen.record);
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `There is no strategy '${String(strategy)}'. Use 'nearestHealthy', 'leastLoaded', 'roundRobin', 'random', 'sameZone' or a function.`,
    );
  }

  #ask(strategy: ResolveStrategy<Custom>, candidates: readonly AgentRecord<Custom>[]): AgentRecord<Custom> | undefined {
    const chosen = strategy(Object.freeze(candidates), this.#context);
    if (chosen === undefined || candidates.includes(chosen)) return chosen;
    throw new QuorateError('INVALID_ARGUMENT', 'A resolve strategy must return one of its candidates, or undefined.');
  }

  watch(
    criteria?: Criteria,
    options: { readonly signal?: AbortSignal; readonly scope?: QueryOptions['scope'] } = {},
  ): AsyncIterable<RegistryEvent<Custom>> {
    this.#assertRunning();
    const { signal, scope } = options;
    const tests = this.#tests(criteria, scope);
    return {
      [Symbol.asyncIterator]: () =>
        this.#openCursor(tests, signal) as AsyncIterator<RegistryEvent<unknown>> as AsyncIterator<
          RegistryEvent<Custom>
        >,
    };
  }

  #openCursor(tests: readonly Test[], signal: AbortSignal | undefined): WatchCursor {
    const ended = this.#stopped || signal?.aborted === true;
    const end = (): void => cursor.end();
    const cursor = new WatchCursor(ended ? [] : this.view.select(tests), tests, () => {
      unsubscribe();
      signal?.removeEventListener('abort', end);
      this.#cursors.delete(cursor);
    });
    const unsubscribe = this.view.on('changes', (changes) => cursor.onChanges(changes));
    signal?.addEventListener('abort', end, { once: true });
    this.#cursors.add(cursor);
    if (ended) cursor.end();
    return cursor;
  }

  /** Idempotent. Ends all watches and registrations. */
  protected shutDown(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const cursor of [...this.#cursors]) cursor.end();
    this.#own.removeAll();
  }

  async #update(registration: OwnRegistration<Custom>, changes: Partial<AgentMetadata<Custom>>): Promise<void> {
    this.#assertRunning();
    const step = await this.#writes.update(registration.id, changes);
    // Another registration may have the id by now; this one must not write to it.
    if (!registration.active) throw notRegistered(registration.id);
    step().commit();
  }

  async #unregister(registration: OwnRegistration<Custom>): Promise<void> {
    if (!registration.active) return;
    this.#writes.unregister(registration.id)().commit();
    if (registration.record.strong !== undefined) await this.#names().release(registration.id);
  }

  /** Gives up own ids that somebody else claimed earlier. */
  #concede(changes: readonly ViewChange[], self: NodeId): void {
    for (const change of changes) {
      if (change.type !== 'down' || change.reason !== 'conflict' || change.record.node !== self) continue;
      const { id } = change.record;
      const registration = this.#own.registration(id);
      const winner = this.view.get(id);
      if (registration === undefined || winner === undefined) continue;
      this.#own.detach(registration);
      this.erase(id);
      this.#own.announceGone(registration);
      registration.lose({ id, reason: 'conflict', record: change.record, winner });
    }
  }

  #tests(criteria: Criteria | undefined, scope: QueryOptions['scope']): readonly Test[] {
    const tests = compileCriteria(criteria);
    if (scope === undefined || scope === 'cluster') return tests;
    if (scope === 'zone' || scope === 'node') return [...tests, ...this.#scopes[scope]];
    throw invalidCriteria([`scope must be 'cluster', 'zone' or 'node'`]);
  }

  #assertRunning(): void {
    if (this.#stopped) throw stopped();
  }
}

function stopped(): QuorateError {
  return new QuorateError('STOPPED', 'The mesh of this registry has stopped. Create another mesh to go on.');
}

function notRegistered(id: AgentId): QuorateError {
  return new QuorateError(
    'NOT_REGISTERED',
    `This registration of '${id}' has ended: it was unregistered, or lost to an earlier claim.`,
    { id },
  );
}

function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  if (Number.isInteger(limit) && limit >= 0) return limit;
  throw invalidCriteria(['limit must be a whole number, not negative']);
}

function checkOrder(
  orderBy: QueryOptions['orderBy'],
): { readonly path: Path; readonly direction: 'asc' | 'desc' } | undefined {
  if (orderBy === undefined) return undefined;
  const [given, direction] = Array.isArray(orderBy) ? (orderBy as readonly unknown[]) : [orderBy, 'asc'];
  const path = typeof given === 'string' ? compilePath(given) : undefined;
  if (path !== undefined && (direction === 'asc' || direction === 'desc')) return { path, direction };
  throw invalidCriteria(["orderBy must be a path, or a list [path, 'asc' or 'desc']"]);
}
