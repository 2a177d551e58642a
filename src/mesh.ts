/**
 * The composition root: `createMesh` validates the options once, builds the parts of the chosen mode in order, and
 * stops them in reverse. Everything it returns is an interface of `protocols/`.
 */
import { createRequire } from 'node:module';
import { realClock, realRng } from './clock.ts';
import { assembleLocal } from './composition/local.ts';
import type { Assembly, MeshEvents, MeshParts } from './composition/parts.ts';
import type { MeshStatus } from './composition/status.ts';
import { Emitter } from './emitter.ts';
import type { QuorateError } from './errors.ts';
import { Lifecycle } from './lifecycle.ts';
import type { NodeId } from './node-id.ts';
import { type MeshOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import type { Coordination } from './protocols/coordination/coordination.ts';
import type { Infrastructure } from './protocols/infrastructure/infrastructure.ts';
import type { MemberState, Membership } from './protocols/membership/membership.ts';
import type { AgentLimits } from './protocols/messaging/limits.ts';
import type { CallOptions, CastOptions, Messaging, StreamOptions } from './protocols/messaging/messaging.ts';
import type { AgentRef } from './protocols/messaging/ref.ts';
import type { Criteria } from './protocols/registry/records.ts';
import type { Registry } from './protocols/registry/registry.ts';
import type { Variables } from './protocols/variables/variables.ts';
import type { AgentId, Value } from './value.ts';

export type { MeshEvents } from './composition/parts.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** A node of a mesh, running from `createMesh` until `stop`. */
export interface Mesh<Custom = Record<string, Value>> extends Messaging, AsyncDisposable {
  readonly id: NodeId;
  readonly registry: Registry<Custom>;
  readonly membership: Membership;
  /**
   * What must not be split: locks, elections, barriers, decisions, auctions, atomic numbers and maps, the application's own state machines.
   *
   * @example
   * await using lock = await mesh.coordination.lock('reports/today');
   */
  readonly coordination: Coordination;
  /**
   * Tunables that many nodes share, each contributing what it found: temperatures, batch sizes, choices of a model.
   *
   * @example
   * const temperature = mesh.variables.float('temperature', { min: 0, max: 2, default: 0.7 });
   */
  readonly variables: Variables;
  /**
   * Circuit breakers, rate limits and monitors, over the whole mesh or this node.
   *
   * @example
   * mesh.infrastructure.circuitBreaker({ agent: 'inference', failureThreshold: 5, fallbackAgents: ['backup'] });
   */
  readonly infrastructure: Infrastructure;
  /**
   * The methods of an agent as a typed object.
   *
   * @example
   * const counter = mesh.ref<typeof counterHandler>('counter');
   * const words = await counter.count('to be or not to be');
   */
  ref<Api>(target: AgentId | Criteria): AgentRef<Api>;
  /**
   * Bounds one agent of this process on its own: `maxConcurrent: 1` makes an actor of it. Throws `INVALID_ARGUMENT`.
   */
  setAgentLimits(agent: AgentId, limits: AgentLimits): void;
  /** A snapshot of everything about this node; costs as much as the mesh has members and feeds. */
  status(): MeshStatus;
  on<K extends keyof MeshEvents>(type: K, listener: (event: MeshEvents[K]) => void): () => void;
  /**
   * Leaves the mesh: refuses new calls, lets running ones end (5 s at most), says goodbye, closes everything in the
   * reverse order of its start. Idempotent; resolves when all is closed.
   */
  stop(): Promise<void>;
}

/**
 * Starts a node: alone (`mode: 'local'`, the default) or as a member of a mesh (`mode: 'cluster'`).
 *
 * Resolves when agents can be registered and called; in a cluster, when it has joined by one of the bootstrap peers, or
 * after `membership.joinTimeoutMs` without any (it goes on trying, and tells by `joinFailed`).
 * Throws `INVALID_OPTIONS` with every wrong field, `PORT_IN_USE`, `DATA_DIR_LOCKED`, `DATA_DIR_UNUSABLE`, `KEY_INVALID`;
 * and when the bootstrap peers all refuse this node, the reason: `WRONG_MESH`, `WRONG_VERSION`, `WRONG_NETWORK_KEY`,
 * `NOT_ALLOWED`, `IDENTITY_IN_USE`.
 *
 * @example
 * await using mesh = await createMesh({ mode: 'cluster', bootstrap: ['/ip4/127.0.0.1/tcp/4700'] });
 */
export async function createMesh<Custom = Record<string, Value>>(
  options: MeshOptions<Custom> = {},
): Promise<Mesh<Custom>> {
  const resolved = resolveOptions(options);
  const mesh = new Node<Custom>(resolved);
  await mesh.start();
  return mesh;
}

class Node<Custom> implements Mesh<Custom> {
  readonly #options: ResolvedOptions<Custom>;
  readonly #events: Emitter<MeshEvents>;
  readonly #lifecycle: Lifecycle;
  readonly #startedAt = realClock.wallNow();
  #state: MeshStatus['state'] = 'running';
  #parts: MeshParts<Custom> | undefined;
  #stopping: Promise<void> | undefined;
  #failure: QuorateError | undefined;

  constructor(options: ResolvedOptions<Custom>) {
    this.#options = options;
    this.#events = new Emitter((error, type) => this.#onError(error, `listener of '${type}'`));
    this.#lifecycle = new Lifecycle((part, error) => this.#onError(error, `stopping ${part}`));
  }

  async start(): Promise<void> {
    const assembly: Assembly<Custom> = {
      options: this.#options,
      version,
      clock: realClock,
      rng: realRng,
      lifecycle: this.#lifecycle,
      events: this.#events,
      fail: (error) => this.#fail(error),
      onError: (error, where) => this.#onError(error, where),
    };
    try {
      this.#parts = await this.#assemble(assembly);
    } catch (error) {
      await this.#lifecycle.stop(); // The data directory, say, must not stay locked.
      throw error;
    }
    if (this.#failure !== undefined) {
      await this.stop();
      throw this.#failure;
    }
  }

  async #assemble(assembly: Assembly<Custom>): Promise<MeshParts<Custom>> {
    if (this.#options.mode === 'local') return assembleLocal(assembly);
    // Loaded only when wanted: a mesh of one process needs no libp2p.
    const { assembleCluster } = await import('./composition/cluster.ts');
    return assembleCluster(assembly);
  }

  get id(): NodeId {
    return this.#running.id;
  }

  get registry(): Registry<Custom> {
    return this.#running.registry;
  }

  get membership(): Membership {
    return this.#running.membership;
  }

  get coordination(): Coordination {
    return this.#running.coordination;
  }

  get variables(): Variables {
    return this.#running.variables;
  }

  get infrastructure(): Infrastructure {
    return this.#running.infrastructure;
  }

  call<Reply = Value>(target: AgentId | Criteria, message: unknown, options?: CallOptions): Promise<Reply> {
    return this.#running.messaging.call<Reply>(target, message, options);
  }

  cast(target: AgentId | Criteria, message: unknown, options?: CastOptions): Promise<void> {
    return this.#running.messaging.cast(target, message, options);
  }

  stream<Item = Value>(target: AgentId | Criteria, message: unknown, options?: StreamOptions): AsyncIterable<Item> {
    return this.#running.messaging.stream<Item>(target, message, options);
  }

  ref<Api>(target: AgentId | Criteria): AgentRef<Api> {
    return this.#running.messaging.ref<Api>(target);
  }

  setAgentLimits(agent: AgentId, limits: AgentLimits): void {
    this.#running.messaging.setAgentLimits(agent, limits);
  }

  on<K extends keyof MeshEvents>(type: K, listener: (event: MeshEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  status(): MeshStatus {
    const parts = this.#running;
    const members: Record<MemberState, number> = { alive: 0, suspect: 0, unreachable: 0, removed: 0, left: 0 };
    for (const member of parts.membership.members()) members[member.state] += 1;
    return {
      mode: this.#options.mode,
      state: this.#state,
      name: this.#options.name,
      id: parts.id,
      zone: this.#options.zone,
      version,
      startedAt: this.#startedAt,
      addresses: parts.addresses(),
      peers: parts.peers(),
      members,
      agents: {
        here: this.#state === 'running' ? parts.registry.count({}, { scope: 'node' }) : 0,
        total: this.#state === 'running' ? parts.registry.count() : 0,
      },
      feeds: parts.feeds(),
      calls: { pending: parts.pendingCalls(), mailboxes: parts.messaging.status().mailboxes },
      coordination: parts.coordination.status(),
      variables: parts.variables.status(),
      infrastructure: parts.infrastructure.status(),
      lag: parts.lag(),
      traffic: parts.traffic(),
      refused: parts.refused(),
    };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    await this.#lifecycle.stop();
    this.#state = 'stopped';
    this.#events.emit('stopped', { error: this.#failure });
  }

  #fail(error: QuorateError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#options.logger.error(error.message, { code: error.code });
    // Before the start has ended, `start` itself stops and throws; nobody else may hold this node yet.
    if (this.#parts !== undefined) void this.stop();
  }

  #onError(error: unknown, where: string): void {
    this.#options.logger.error(`${where}: ${error instanceof Error ? error.message : String(error)}`, {
      stack: error instanceof Error ? error.stack : undefined,
    });
  }

  get #running(): MeshParts<Custom> {
    if (this.#parts === undefined) throw new Error('unreachable: createMesh hands out only nodes that have started');
    return this.#parts;
  }
}
