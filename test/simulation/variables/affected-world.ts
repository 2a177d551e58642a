/**
 * Nodes that define a variable, and agents that it affects, in virtual time: entries and registrations reach other nodes late, calls get lost on the
 * way there or back, handlers fail, processes are killed and cut off. The audiences are real, and so are the registry's view and watches.
 */
import { seededRng } from '../../../src/clock.ts';
import { compileCriteria } from '../../../src/crdt/registry-criteria.ts';
import { RegistryView } from '../../../src/crdt/registry-view.ts';
import { QuorateError } from '../../../src/errors.ts';
import { HybridClock } from '../../../src/hlc.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Messaging } from '../../../src/protocols/messaging/messaging.ts';
import { handlerFailed, notDelivered, rejected, unknownOutcome } from '../../../src/protocols/messaging/outcome.ts';
import type { Criteria } from '../../../src/protocols/registry/records.ts';
import type { Registry } from '../../../src/protocols/registry/registry.ts';
import { WatchCursor } from '../../../src/protocols/registry/watch.ts';
import { AgentAudiences } from '../../../src/protocols/variables/affected/agent-audiences.ts';
import type { Acknowledgements, Audience, News } from '../../../src/protocols/variables/affected/audiences.ts';
import type { VariableNotice } from '../../../src/protocols/variables/variables.ts';
import { makeRecord } from '../../protocols/messaging/harness.ts';
import { type SharedNode, SharedWorld } from '../sharing/shared-world.ts';

const name = 'v';

export interface Told {
  readonly by: NodeId;
  readonly notice: VariableNotice;
}

/** One registration of an agent. */
export interface Life {
  readonly agent: string;
  readonly node: DefiningNode;
  readonly claimedAt: number;
  readonly told: Told[];
  readonly answers: Map<string, 'acknowledged' | 'failed'>;
}

export interface AffectedWorldOptions {
  readonly seed: number;
  /** Share of calls lost on the way there, on the way back, and of handlers that fail. */
  readonly loss?: number;
  readonly failures?: number;
}

export class AffectedWorld {
  readonly shared: SharedWorld;
  readonly nodes: DefiningNode[] = [];
  readonly lives = new Map<string, Life>();
  readonly options: Required<AffectedWorldOptions>;
  #claims = 0;

  constructor(options: AffectedWorldOptions) {
    this.options = { loss: 0, failures: 0, ...options };
    this.shared = new SharedWorld({ seed: options.seed });
  }

  get rng() {
    return this.shared.time.rng;
  }

  join(): DefiningNode {
    const node = new DefiningNode(this, this.shared.join());
    this.nodes.push(node);
    for (const other of this.nodes) other.refresh();
    return node;
  }

  get live(): DefiningNode[] {
    return this.nodes.filter(({ shared }) => shared.alive);
  }

  /** Registers an agent, which leaves where it was before. */
  place(agent: string, node: DefiningNode): Life {
    this.remove(agent);
    const life: Life = { agent, node, claimedAt: ++this.#claims, told: [], answers: new Map() };
    this.lives.set(agent, life);
    const record = makeRecord(agent, node.id, { capabilities: ['llm'], claimedAt: life.claimedAt });
    this.#spread(node, agent, (other) => other.view.apply([{ record }]));
    return life;
  }

  remove(agent: string): void {
    const life = this.lives.get(agent);
    if (life === undefined) return;
    this.lives.delete(agent);
    const author = life.node.id;
    this.#spread(life.node, agent, (other) => other.view.apply([{ author, id: agent, record: undefined }]));
  }

  kill(node: DefiningNode): void {
    this.shared.kill(node.shared);
    node.kill();
    for (const [agent, life] of this.lives) if (life.node === node) this.lives.delete(agent);
  }

  /** Registrations travel as entries of the shared world, so that they are late and cut off alike. */
  #spread(from: DefiningNode, agent: string, apply: (other: DefiningNode) => void): void {
    from.history.push(apply);
    from.shared.set(`r/${agent}`, from.history.length);
    from.shared.set('history', from.history.length);
  }

  async run(ms: number): Promise<void> {
    await this.shared.time.run(ms);
  }
}

export class DefiningNode {
  readonly shared: SharedNode;
  readonly view = new RegistryView((error) => {
    throw error;
  });
  /** Changes of this node's registrations, in order. */
  readonly history: ((other: DefiningNode) => void)[] = [];
  readonly errors: string[] = [];
  audience: Audience | undefined;
  shown: { readonly value: number; readonly agreed: boolean } | undefined;
  readonly #world: AffectedWorld;
  readonly #hlc: HybridClock;
  readonly #audiences: AgentAudiences;
  readonly #applied = new Map<NodeId, number>();
  readonly #arrivesAt = new Map<NodeId, number>();
  readonly #killed = Promise.withResolvers<undefined>();

  constructor(world: AffectedWorld, shared: SharedNode) {
    this.#world = world;
    this.shared = shared;
    // Clocks of nodes differ by up to a second.
    const skew = world.rng.below(1_000);
    this.#hlc = new HybridClock(() => shared.clock.wallNow() + skew);
    this.#audiences = new AgentAudiences({
      self: shared.self,
      registry: this.#registry(),
      messaging: { call: (agent, notice, options) => this.#call(agent, notice, options) as Promise<never> },
      clock: shared.clock,
      rng: seededRng(world.rng.below(2 ** 32)),
      stamp: () => this.#hlc.now(),
      onError: (_error, where) => void this.errors.push(where),
    });
    shared.onPrefix('', () => this.refresh());
    shared.onNodes(() => this.refresh());
  }

  get id(): NodeId {
    return this.shared.self;
  }

  define(): void {
    if (this.audience !== undefined) return;
    this.shared.set(`d/${name}`, true);
    this.audience = this.#audiences.open({
      name,
      affects: { capabilities: 'llm' },
      definers: () => [...this.shared.of(`d/${name}`).keys()],
      present: () => this.#news(),
    });
  }

  dispose(): void {
    this.audience?.stop();
    this.audience = undefined;
    this.shared.delete(`d/${name}`);
  }

  set(value: number): void {
    this.shared.set(`c/${name}`, { value, at: this.#hlc.now() });
  }

  /** Tells all what is present and waits for them. A killed process waits for nothing. */
  async ask(timeoutMs: number): Promise<Acknowledgements | undefined> {
    const news = this.#news();
    if (this.audience === undefined || news === undefined) return undefined;
    const asked = this.audience.tellAndWait(news, { timeoutMs });
    return Promise.race([asked, this.#killed.promise]);
  }

  kill(): void {
    this.#killed.resolve(undefined);
  }

  /** What this node shows: the latest contribution. */
  #news(): News | undefined {
    let latest: { value: number; at: number } | undefined;
    // Of equal stamps that of the greater node.
    for (const [, entry] of [...this.shared.of(`c/${name}`)].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const one = entry as { value: number; at: number };
      this.#hlc.observe(one.at);
      if (latest === undefined || one.at >= latest.at) latest = one;
    }
    return latest && { value: latest.value, agreed: false };
  }

  /** Something that this node sees has changed. */
  refresh(): void {
    for (const other of this.#world.nodes) this.#takeRegistrations(other);
    const news = this.#news();
    const changed = news !== undefined && news.value !== this.shown?.value;
    this.shown = news as typeof this.shown;
    if (changed) this.audience?.tell(news);
    this.audience?.definersChanged();
  }

  #takeRegistrations(other: DefiningNode): void {
    if (this.shared.standing(other.id) !== 'live') {
      this.view.hide(other.id);
      return;
    }
    const heard = (this.shared.of('history').get(other.id) as number | undefined) ?? 0;
    const applied = this.#applied.get(other.id) ?? 0;
    if (heard > applied) {
      this.#applied.set(other.id, heard);
      for (const apply of other.history.slice(applied, heard)) apply(this);
    }
    this.view.show(other.id);
  }

  #registry(): Pick<Registry<unknown>, 'query' | 'watch'> {
    const { view } = this;
    return {
      query: (criteria) => view.select(compileCriteria(criteria)),
      watch: (criteria: Criteria | undefined, { signal } = {}) => {
        const tests = compileCriteria(criteria);
        const cursor: WatchCursor = new WatchCursor(view.select(tests), tests, () => unsubscribe());
        const unsubscribe = view.on('changes', (changes) => cursor.onChanges(changes));
        signal?.addEventListener('abort', () => cursor.end());
        return cursor;
      },
    };
  }

  /** As messaging: at most once without a repeat, and with the same key once; what is lost is told after a while. */
  async #call(target: unknown, notice: unknown, options: Parameters<Messaging['call']>[2]): Promise<undefined> {
    const { rng, shared, options: faults } = this.#world;
    const agent = target as string;
    const home = this.view.get(agent)?.node;
    if (home === undefined) throw rejected(agent, 'no-such-agent');
    const pause = (ms: number): Promise<void> => new Promise((resolve) => this.shared.clock.after(ms, resolve));
    // A connection keeps the order of what is sent over it.
    const now = shared.time.now;
    const arrival = Math.max(now + shared.delay(), this.#arrivesAt.get(home) ?? 0);
    this.#arrivesAt.set(home, arrival);
    await pause(arrival - now);
    const node = this.#world.nodes.find(({ id }) => id === home);
    const reaches = (): boolean => node?.shared.alive === true && shared.connected(this.shared, node.shared);
    if (!reaches()) {
      await pause(2_000);
      throw notDelivered(agent, 'unreachable', home);
    }
    if (rng.float() < faults.loss) {
      await pause(1_000);
      throw unknownOutcome(agent, 'connection-lost', home);
    }
    const life = this.#world.lives.get(agent);
    if (life === undefined || life.node !== node) throw rejected(agent, 'no-such-agent');
    const key = `${this.id} ${options?.idempotencyKey}`;
    let answer = life.answers.get(key);
    if (answer === undefined) {
      answer = rng.float() < faults.failures ? 'failed' : 'acknowledged';
      life.answers.set(key, answer);
      life.told.push({ by: this.id, notice: notice as VariableNotice });
    }
    await pause(shared.delay());
    if (!reaches() || rng.float() < faults.loss) {
      await pause(1_000);
      throw unknownOutcome(agent, 'connection-lost', home);
    }
    if (answer === 'failed') throw handlerFailed(agent, 'variableChanged', new QuorateError('INVALID_ARGUMENT', 'no'));
    return undefined;
  }
}
