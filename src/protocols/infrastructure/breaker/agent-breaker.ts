/** The breaker of one agent: feeds the two cores, publishes what this node has to say, and tells of changes. */
import type { Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { InfrastructureTools } from '../tools.ts';
import type { AgentBreakerStatus, BreakerChange, BreakerState, CallVerdict } from './breaker.ts';
import { CallWindow } from './call-window.ts';
import { NodeBreaker } from './node-breaker.ts';
import { keyPart, type ResolvedBreakerOptions } from './options.ts';
import { encodeReport, parseReport, type Report, silentReport } from './report.ts';
import { countOf, type Probe, ScopeBreaker } from './scope-breaker.ts';
import { type Vote, voteCap, voteOf } from './tally.ts';

/** What neither opens nor closes anything goes out at most so often. */
const trifleEveryMs = 100;

/** A call that was let through: as a probe of the scope, of this node, or as any other. `epoch`: calls of before a closing say nothing after it. */
export type Passage = { readonly probe: Probe | 'node' | undefined; readonly epoch: number };

export interface AgentBreakerHost {
  readonly tools: InfrastructureTools;
  readonly options: ResolvedBreakerOptions;
  onChange(change: BreakerChange): void;
  onMalformed(): void;
}

export class AgentBreaker {
  readonly agent: AgentId;
  readonly #host: AgentBreakerHost;
  readonly #key: string;
  readonly #window: CallWindow;
  readonly #node: NodeBreaker;
  readonly #scope: ScopeBreaker;
  readonly #parsed = new WeakMap<object, Report | 'malformed'>();
  #state: BreakerState = 'closed';
  #reason: string | undefined;
  #nodeReason = '';
  #epoch = 0;
  #published: Report | undefined;
  #publishedAt = Number.NEGATIVE_INFINITY;
  #publishDueAt = Number.POSITIVE_INFINITY;
  #generation = 0;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(host: AgentBreakerHost, agent: AgentId) {
    const { options, tools } = host;
    this.agent = agent;
    this.#host = host;
    this.#key = breakerKey(options.id, agent);
    this.#window = new CallWindow(options.windowMs);
    this.#node = new NodeBreaker(options);
    const name = JSON.stringify([options.id, agent]);
    this.#scope = new ScopeBreaker(tools.entries.self, { ...options, name, liars: tools.liars }, tools.clock.wallNow());
    this.onReports();
  }

  /** The hot path: one comparison for an agent that works. */
  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** No counts and nothing shared: it can be made anew when it is needed. */
  get isIdle(): boolean {
    const now = this.#host.tools.clock.now();
    const counts = this.#window.failures(now) + this.#window.successes(now);
    return this.#state === 'closed' && counts === 0 && this.#published === undefined;
  }

  state(): BreakerState {
    this.#refresh();
    return this.#state;
  }

  /** Undefined: refused. */
  pass(deadlineAt: number): Passage | undefined {
    const { clock } = this.#host.tools;
    const now = clock.now();
    const wall = clock.wallNow();
    if (this.#timerAt <= now) this.#refresh();
    if (this.#state === 'closed') return { probe: undefined, epoch: this.#epoch };
    const { wishes } = this.#scope;
    let probe: Passage['probe'];
    if (this.#scope.state(wall) === 'closed') probe = this.#node.takeProbe(now) ? 'node' : undefined;
    else probe = this.#scope.takeProbe(wall, wall + Math.max(0, deadlineAt - now));
    if (this.#scope.wishes !== wishes && this.#host.options.scope !== 'node') this.#publish(now, wall);
    return probe === undefined ? undefined : { probe, epoch: this.#epoch };
  }

  retryAfterMs(): number {
    const { clock } = this.#host.tools;
    const wall = clock.wallNow();
    const isScope = this.#scope.state(wall) !== 'closed';
    return Math.ceil(isScope ? this.#scope.retryAfterMs(wall) : this.#node.retryAfterMs(clock.now()));
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  ended({ probe, epoch }: Passage, verdict: CallVerdict): void {
    if (this.#stopped) return;
    const { clock } = this.#host.tools;
    const now = clock.now();
    if (probe === 'node') this.#nodeProbeEnded(epoch, verdict, now);
    else if (probe !== undefined) this.#scopeProbeEnded(probe, verdict, clock.wallNow());
    else if (verdict !== 'ignore' && epoch === this.#epoch && this.#state === 'closed') this.#count(verdict, now);
  }

  /** What others say has changed, or who they are. */
  onReports(): void {
    if (this.#stopped) return;
    const { options, tools } = this.#host;
    if (options.scope === 'node') return;
    const { entries } = tools;
    const values = entries.of(this.#key);
    const zone = options.scope === 'zone' ? tools.zone : undefined;
    const others = new Map<NodeId, Report>();
    for (const node of entries.nodes()) {
      if (node === entries.self || (zone !== undefined && entries.zoneOf(node) !== zone)) continue;
      others.set(node, this.#parse(values.get(node)));
    }
    this.#scope.setReports(others, tools.registry.lookup(this.agent)?.node);
    this.#refresh();
  }

  reset(): void {
    this.#scope.close(this.#host.tools.clock.wallNow());
    this.#node.close();
    this.#refresh();
  }

  trip(ms: number | undefined): void {
    this.#scope.trip(ms === undefined ? undefined : this.#host.tools.clock.wallNow() + ms);
    this.#refresh();
  }

  status(): AgentBreakerStatus {
    this.#refresh();
    const now = this.#host.tools.clock.now();
    const { failures, successes, reporters } = this.#scope.counted();
    return {
      agent: this.agent,
      state: this.#state,
      failures: this.#window.failures(now),
      successes: this.#window.successes(now),
      counted: { failures, successes, reporters },
      retryAfterMs: this.#state === 'closed' ? undefined : this.retryAfterMs(),
      reason: this.#reason,
    };
  }

  /** Takes back what it shared. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    if (this.#published !== undefined) this.#host.tools.entries.delete(this.#key);
    this.#published = undefined;
  }

  #parse(value: Value): Report {
    if (value === undefined) return silentReport;
    if (typeof value !== 'object' || value === null) {
      this.#host.onMalformed();
      return silentReport;
    }
    let parsed = this.#parsed.get(value);
    if (parsed === undefined) {
      parsed = parseReport(value) ?? 'malformed';
      if (parsed === 'malformed') this.#host.onMalformed();
      this.#parsed.set(value, parsed);
    }
    return parsed === 'malformed' ? silentReport : parsed;
  }

  #count(verdict: CallVerdict, now: number): void {
    const failed = verdict === 'failure';
    this.#window.add(failed, now);
    if (failed) this.#openNode(now);
    // A success changes what is shared only while somebody accuses the agent.
    if (failed || this.#published !== undefined || this.#scope.isAccused) this.#refresh();
  }

  /** Enough failures of this node alone keep this node from calling. */
  #openNode(now: number): void {
    const { failureThreshold, failureRatio } = this.#host.options;
    const failures = this.#window.failures(now);
    if (failures < failureThreshold || failures < failureRatio * (failures + this.#window.successes(now))) return;
    this.#node.open(now);
    this.#nodeReason = `${countOf(failures)} at this node (threshold ${failureThreshold})`;
  }

  #nodeProbeEnded(epoch: number, verdict: CallVerdict, now: number): void {
    if (epoch !== this.#epoch || !this.#node.isOpen) return;
    if (verdict === 'success') this.#closeNode('a probe of this node succeeded');
    else if (verdict === 'failure') {
      this.#node.open(now);
      this.#nodeReason = 'the probe failed';
    } else this.#node.endProbe();
    this.#refresh();
  }

  #scopeProbeEnded(probe: Probe, verdict: CallVerdict, wall: number): void {
    this.#scope.endProbe(probe, verdict, wall);
    this.#refresh();
  }

  #closeNode(reason: string): void {
    this.#node.close();
    this.#forgetCounts();
    this.#nodeReason = reason;
  }

  #forgetCounts(): void {
    this.#window.clear();
    this.#epoch += 1;
  }

  /** Brings everything up to date: vote, conclusions, what is published, the timer, and those who listen. */
  #refresh(): void {
    if (this.#stopped) return;
    const { clock } = this.#host.tools;
    const now = clock.now();
    const wall = clock.wallNow();
    const scope = this.#scope;
    const isShared = this.#host.options.scope !== 'node';
    this.#heedClosing();
    if (this.#node.isForgotten(now)) this.#closeNode('nobody has called it for long');
    if (isShared) {
      scope.setVote(this.#vote(now));
      scope.update(wall);
      this.#heedClosing();
    }
    const scopeState = scope.state(wall);
    // Once it is open for all, all find out together.
    if (scopeState !== 'closed') this.#node.close();
    const state = scopeState === 'closed' ? this.#nodeState(now) : scopeState;
    if (isShared) this.#publish(now, wall);
    this.#schedule(now, wall);
    const isScopes = scopeState !== 'closed' || this.#nodeReason === '';
    this.#become(state, isScopes ? scope.reason(wall) : this.#nodeReason);
  }

  #nodeState(now: number): BreakerState {
    if (!this.#node.isOpen) return 'closed';
    return this.#node.isHalfOpen(now) ? 'halfOpen' : 'open';
  }

  #heedClosing(): void {
    if (this.#scope.generation === this.#generation) return;
    this.#generation = this.#scope.generation;
    this.#node.close();
    this.#nodeReason = '';
    this.#forgetCounts();
  }

  #vote(now: number): Vote {
    const { options, tools } = this.#host;
    const limits = { ...options, liars: tools.liars };
    // No calls, so no new failures; what this node has found out stands nevertheless.
    if (this.#node.isOpen) return { failures: voteCap(limits), successes: 0 };
    const vote = voteOf(this.#window.failures(now), this.#window.successes(now), limits);
    return vote.failures > 0 || this.#scope.isAccused ? vote : noVote;
  }

  #become(state: BreakerState, reason: string): void {
    if (state !== 'closed') this.#reason = reason;
    else if (this.#state !== 'closed') this.#reason = undefined;
    if (state === this.#state) return;
    const previous = this.#state;
    this.#state = state;
    const why = state === 'halfOpen' ? 'the recovery time is over' : reason;
    this.#host.onChange({ id: this.#host.options.id, agent: this.agent, state, previous, reason: why });
  }

  /** At once what may open, close or probe; the rest not too often. */
  #publish(now: number, wall: number): void {
    const report = this.#scope.report(wall);
    const published = this.#published;
    if (sameReport(report, published)) return;
    const isUrgent = !isTrifle(report, published);
    this.#publishDueAt = isUrgent ? now : Math.max(now, this.#publishedAt + trifleEveryMs);
    if (this.#publishDueAt > now) return;
    this.#publishDueAt = Number.POSITIVE_INFINITY;
    this.#publishedAt = now;
    this.#published = report;
    const { entries, onError } = this.#host.tools;
    try {
      if (report === undefined) entries.delete(this.#key);
      else entries.set(this.#key, encodeReport(report));
    } catch (error) {
      // It goes on for this node alone.
      onError(error, `breaker '${this.#host.options.id}' of agent ${this.agent}`);
    }
  }

  #schedule(now: number, wall: number): void {
    const scopeAt = this.#scope.nextAt(wall);
    const decayAt = this.#published === undefined ? undefined : this.#window.nextChangeAt(now);
    const times = [
      scopeAt === undefined ? undefined : now + scopeAt - wall,
      this.#node.nextAt(now),
      decayAt,
      this.#publishDueAt,
    ];
    const at = Math.min(...times.filter((time) => time !== undefined && time > now).map(Number));
    if (at === this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = Number.isFinite(at)
      ? this.#host.tools.clock.after(at - now, () => {
          this.#timerAt = Number.POSITIVE_INFINITY;
          this.#refresh();
        })
      : undefined;
  }
}

const noVote: Vote = { failures: 0, successes: 0 };

/** The key under which the nodes share what they know of an agent. */
export function breakerKey(id: string, agent: AgentId): string {
  return `${breakerPrefix(id)}${agent}`;
}

export function breakerPrefix(id: string): string {
  return `breaker/${keyPart(id)}/`;
}

function sameReport(one: Report | undefined, other: Report | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Nothing but a vote that fell, or successes beside it. */
function isTrifle(report: Report | undefined, published: Report | undefined): boolean {
  if (report === undefined || published === undefined) return report === undefined;
  const { failures, successes, sequence } = published;
  return report.failures <= failures && sameReport({ ...report, failures, successes, sequence }, published);
}
