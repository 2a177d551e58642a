/** Audiences over registry and messaging: who matches is watched, and each agent has a teller of its own. */
import { QuorateError } from '../../../errors.ts';
import { keepAlive } from '../../../keep-alive.ts';
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { AgentRecord, Criteria } from '../../registry/records.ts';
import type { Registry, RegistryEvent } from '../../registry/registry.ts';
import { type Affected, affectedAgents, tellerOf } from './affected-agents.ts';
import { AgentTeller, type TellerTools } from './agent-teller.ts';
import type {
  Acknowledgements,
  Audience,
  AudienceOptions,
  AudienceStatus,
  Audiences,
  News,
  WaitOptions,
} from './audiences.ts';

export interface AudiencesTools extends TellerTools {
  readonly self: NodeId;
  readonly registry: Pick<Registry<unknown>, 'query' | 'watch'>;
}

export class AgentAudiences implements Audiences {
  readonly #tools: AudiencesTools;

  constructor(tools: AudiencesTools) {
    this.#tools = tools;
  }

  open(options: AudienceOptions): Audience {
    return new AgentAudience(this.#tools, options, affectedAgents(options.affects));
  }
}

/** Agents that are gone and may come back, of which it is remembered what they were told. */
const maxRemembered = 1_000;

interface Listener {
  readonly node: NodeId;
  readonly claimedAt: number;
  readonly teller: AgentTeller;
}

class AgentAudience implements Audience {
  readonly #tools: AudiencesTools;
  readonly #options: AudienceOptions;
  readonly #criteria: Criteria;
  readonly #ids: readonly AgentId[];
  readonly #method: string;
  readonly #agents = new Map<AgentId, Listener>();
  /** What agents that have gone out of sight were sent last: it may still reach them, and be out of date when they are back. */
  readonly #remembered = new Map<AgentId, News>();
  readonly #over = new AbortController();
  readonly #waits = new Set<() => void>();

  constructor(tools: AudiencesTools, options: AudienceOptions, { criteria, ids, method }: Affected) {
    this.#tools = tools;
    this.#options = options;
    this.#criteria = criteria;
    this.#ids = ids;
    this.#method = method;
    const events = tools.registry.watch(criteria, { signal: this.#over.signal });
    this.#meetAll();
    void this.#follow(events);
  }

  tell(news: News): void {
    for (const { teller } of this.#agents.values()) if (teller.mine) teller.tell(news);
  }

  tellAndWait(news: News, { signal, timeoutMs }: WaitOptions): Promise<Acknowledgements> {
    this.#meetAll();
    const acknowledged: AgentId[] = [];
    const unacknowledged = new Map<AgentId, string>();
    for (const id of this.#ids) {
      if (!this.#agents.has(id)) unacknowledged.set(id, 'no agent of that name is registered');
    }
    const open = new Map<AgentId, () => void>();
    return new Promise((resolve) => {
      const letGo = keepAlive();
      const end = (why: string): void => {
        if (!this.#waits.delete(onStop)) return;
        letGo();
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        for (const [agent, cancel] of open) {
          const trouble = this.#agents.get(agent)?.teller.trouble;
          unacknowledged.set(agent, trouble === undefined ? why : `${why}; ${trouble}`);
          cancel();
        }
        const failures = [...unacknowledged].map(([agent, reason]) => ({ agent, reason }));
        resolve({ acknowledged: acknowledged.sort(), unacknowledged: failures.sort(byAgent) });
      };
      const onAbort = (): void => end('the wait was cancelled');
      const onStop = (): void => end('this node has stopped, or given the variable up');
      const timer = this.#tools.clock.after(timeoutMs, () => end(`no answer within ${timeoutMs} ms`));
      this.#waits.add(onStop);
      signal?.addEventListener('abort', onAbort, { once: true });
      const agents = signal?.aborted === true || this.#over.signal.aborted ? [] : [...this.#agents];
      const pending = new Set(agents.map(([agent]) => agent));
      for (const [agent, { teller }] of agents) {
        const cancel = teller.wait(news, (reason) => {
          pending.delete(agent);
          open.delete(agent);
          if (reason === undefined) acknowledged.push(agent);
          else unacknowledged.set(agent, reason);
          if (pending.size === 0) end('');
        });
        if (pending.has(agent)) open.set(agent, cancel);
      }
      if (signal?.aborted === true) this.#listAll(unacknowledged, 'the wait was cancelled');
      if (pending.size === 0) end('');
    });
  }

  definersChanged(): void {
    const definers = this.#options.definers();
    for (const agent of this.#agents.values()) this.#assign(agent, definers, 'another');
  }

  status(): AudienceStatus {
    let untold = 0;
    for (const { teller } of this.#agents.values()) untold += teller.waiting;
    return { affected: this.#agents.size, untold };
  }

  stop(): void {
    this.#over.abort();
    for (const end of [...this.#waits]) end();
    for (const { teller } of this.#agents.values()) teller.stop('this node has stopped, or given the variable up');
    this.#agents.clear();
    this.#remembered.clear();
  }

  #listAll(unacknowledged: Map<AgentId, string>, reason: string): void {
    for (const agent of this.#agents.keys()) unacknowledged.set(agent, reason);
  }

  async #follow(events: AsyncIterable<RegistryEvent<unknown>>): Promise<void> {
    try {
      for await (const event of events) {
        if (event.type === 'down') this.#part(event.record, event.reason);
        else this.#meet(event.record, this.#options.definers());
      }
    } catch (error) {
      if (!this.#over.signal.aborted)
        this.#tools.onError(error, `agents that variable '${this.#options.name}' affects`);
    }
  }

  /** Who is there by now, also those that the watch has not come to yet. */
  #meetAll(): void {
    if (this.#over.signal.aborted) return;
    try {
      const definers = this.#options.definers();
      for (const record of this.#tools.registry.query(this.#criteria)) this.#meet(record, definers);
    } catch (error) {
      // A mesh that is stopping answers no questions; those known so far are still told.
      if (!(error instanceof QuorateError && error.code === 'STOPPED')) throw error;
    }
  }

  #meet(record: AgentRecord<unknown>, definers: readonly NodeId[]): void {
    const { id, node, claimedAt } = record;
    const known = this.#agents.get(id);
    if (known?.node === node && known.claimedAt === claimedAt) return;
    if (known !== undefined) this.#end(id, known, 'it was registered anew');
    const { name, present } = this.#options;
    const target = { variable: name, agent: id, method: this.#method, present };
    const agent: Listener = { node, claimedAt, teller: new AgentTeller(this.#tools, target) };
    this.#agents.set(id, agent);
    this.#assign(agent, definers, 'nobody');
    const sent = this.#remembered.get(id);
    this.#remembered.delete(id);
    if (sent !== undefined) agent.teller.remember(sent);
  }

  #part({ id, node, claimedAt }: AgentRecord<unknown>, reason: string): void {
    const known = this.#agents.get(id);
    // What was met since is another life of the agent.
    if (known === undefined || known.node !== node || known.claimedAt !== claimedAt) return;
    this.#end(id, known, `it is gone (${reason})`);
  }

  #end(id: AgentId, { teller }: Listener, reason: string): void {
    this.#agents.delete(id);
    const { sent } = teller;
    if (sent !== undefined) this.#remembered.set(id, sent);
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined && this.#remembered.size > maxRemembered) this.#remembered.delete(oldest);
    teller.stop(reason);
  }

  #assign(agent: Listener, definers: readonly NodeId[], before: 'another' | 'nobody'): void {
    const mine = tellerOf(agent.node, definers) === this.#tools.self;
    if (mine === agent.teller.mine) return;
    if (mine) agent.teller.takeOver(before);
    else agent.teller.release();
  }
}

const byAgent = (a: { readonly agent: AgentId }, b: { readonly agent: AgentId }): number =>
  a.agent < b.agent ? -1 : 1;
