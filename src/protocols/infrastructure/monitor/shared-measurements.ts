/**
 * The measurements of one monitor over its scope: those of this node, published now and then while they change, and
 * what the live nodes of the scope have published. Nothing is sent and no timer runs while nothing is measured.
 */
import type { Clock, Timer } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { InfrastructureTools } from '../tools.ts';
import { Aggregate, type Measured } from './aggregate.ts';
import { type MonitorEntry, monitorKey, monitorValue, parseMonitorEntry } from './monitor-entries.ts';
import { measureDigest, type ResolvedMonitorOptions } from './monitor-options.ts';
import { SlidingSketch } from './sliding-sketch.ts';

/** Measurements made at the same time go out together, milliseconds. */
const gatherMs = 20;
/** Between two publications of a node, at least. */
const shortestPauseMs = 250;
/** For each node that has the monitor: where the window allows it, all of them together say something ten times a second at most. */
const pausePerNodeMs = 100;

/** Between two publications of a node: a twentieth of the window; of many nodes more, up to a quarter of it. */
export function publishPauseMs(windowMs: number, nodes: number): number {
  return Math.max(shortestPauseMs, windowMs / 20, Math.min(windowMs / 4, nodes * pausePerNodeMs));
}

interface Heard {
  /** As it came, to see whether it is another now. */
  readonly value: Value;
  /** Undefined: malformed, or of a monitor that measures something else. */
  readonly entry: MonitorEntry | undefined;
  readonly at: number;
}

/** What counts until then, unless somebody measures. */
interface Current {
  readonly aggregate: Aggregate;
  readonly nodes: readonly NodeId[];
  readonly until: number;
}

export class SharedMeasurements {
  readonly #tools: InfrastructureTools;
  readonly #clock: Clock;
  readonly #options: ResolvedMonitorOptions;
  readonly #key: string;
  readonly #digest: string;
  readonly #own: SlidingSketch;
  readonly #heard = new Map<NodeId, Heard>();
  readonly #onChange: (members: boolean) => void;
  readonly #unsubscribe: () => void;
  #birth: number;
  /** Something is to be published; a timer is set then. */
  #dirty = false;
  #timer: { readonly timer: Timer; readonly at: number } | undefined;
  #publishedAt = Number.NEGATIVE_INFINITY;
  #cached: Current | undefined;
  #toldOfConflict = false;
  /** Entries of others that were ignored. */
  readonly refused = { malformed: 0, conflicting: 0 };

  /** `onChange` hears of new measurements, and whether `members` may have changed. May throw as `SharedEntries.set` does. */
  constructor(tools: InfrastructureTools, options: ResolvedMonitorOptions, onChange: (members: boolean) => void) {
    this.#tools = tools;
    this.#clock = tools.clock;
    this.#options = options;
    this.#key = monitorKey(options.id);
    this.#digest = measureDigest(options);
    this.#own = new SlidingSketch(options.windowMs, tools.clock.now());
    this.#birth = tools.clock.wallNow();
    this.#onChange = onChange;
    if (options.scope === 'node') {
      this.#unsubscribe = () => undefined;
      return;
    }
    this.#read();
    tools.entries.set(this.#key, this.#value(undefined));
    this.#unsubscribe = tools.entries.onKey(this.#key, () => this.#onEntries());
  }

  /** Wall clock when the first of the nodes that know each other made this monitor. */
  get birth(): number {
    return this.#birth;
  }

  record(value: number): void {
    const now = this.#clock.now();
    this.#own.add(value, now);
    this.#cached = undefined;
    if (!this.#dirty) {
      this.#dirty = true;
      this.#arm(now);
    }
    this.#onChange(false);
  }

  /** Live nodes of the scope that measure the same, this one included. */
  members(): NodeId[] {
    const members = [this.#tools.entries.self];
    for (const [node, { entry }] of this.#heard) if (entry !== undefined) members.push(node);
    return members;
  }

  aggregate(): Aggregate {
    return this.#current().aggregate;
  }

  /** Whose measurements there are. */
  nodes(): readonly NodeId[] {
    return this.#current().nodes;
  }

  /** When `aggregate` changes though nobody measures: something will be too old. Infinity when nothing can. */
  nextExpiry(): number {
    return this.#current().until;
  }

  /** `forget`: says to others that this node has the monitor no longer. */
  stop(forget: boolean): void {
    this.#unsubscribe();
    this.#timer?.timer.cancel();
    if (forget && this.#options.scope !== 'node') this.#tools.entries.delete(this.#key);
  }

  #current(): Current {
    const now = this.#clock.now();
    if (this.#cached !== undefined && now < this.#cached.until) return this.#cached;
    this.#own.expire(now);
    const measured: Measured[] = [];
    const nodes: NodeId[] = [];
    let until = Number.POSITIVE_INFINITY;
    const take = (node: NodeId, one: Measured, expiresAt: number): void => {
      nodes.push(node);
      measured.push(one);
      until = Math.min(until, expiresAt);
    };
    if (!this.#own.isEmpty) {
      const own = { sketch: this.#own.merged(), coveredMs: this.#own.coveredMs(now) };
      take(this.#tools.entries.self, own, this.#own.nextExpiry() as number);
    }
    for (const [node, { entry, at }] of this.#heard) {
      // All it holds was measured before it came. An honest node says so itself by then.
      const expiresAt = at + this.#options.windowMs;
      if (entry?.measured !== undefined && expiresAt > now) take(node, entry.measured, expiresAt);
    }
    this.#cached = { aggregate: new Aggregate(measured, this.#tools.liars), nodes, until };
    return this.#cached;
  }

  #onEntries(): void {
    const birth = this.#birth;
    if (!this.#read()) return;
    this.#cached = undefined;
    // A name for incidents that all agree on: the earliest birth anybody knows.
    if (this.#birth < birth) this.#markDirty();
    this.#onChange(true);
  }

  /** Takes over what others have published; true when anything of it is new. */
  #read(): boolean {
    const { entries, zone, onError } = this.#tools;
    const now = this.#clock.now();
    const wallNow = this.#clock.wallNow();
    const seen = entries.of(this.#key);
    let changed = false;
    for (const [node, value] of seen) {
      if (node === entries.self || this.#heard.get(node)?.value === value) continue;
      if (this.#options.scope === 'zone' && entries.zoneOf(node) !== zone) continue;
      const parsed = parseMonitorEntry(value, wallNow);
      const isSame = parsed?.digest === this.#digest;
      if (parsed === undefined) this.refused.malformed += 1;
      else if (!isSame) this.refused.conflicting += 1;
      if (parsed !== undefined && !isSame && !this.#toldOfConflict) {
        this.#toldOfConflict = true;
        onError(this.#conflict(node), `monitor '${this.#options.id}'`);
      }
      this.#heard.set(node, { value, entry: isSame ? parsed : undefined, at: now });
      if (isSame) this.#birth = Math.min(this.#birth, parsed.birth);
      changed = true;
    }
    for (const node of this.#heard.keys()) {
      if (seen.has(node)) continue;
      this.#heard.delete(node);
      changed = true;
    }
    return changed;
  }

  #conflict(node: NodeId): QuorateError {
    return new QuorateError(
      'CONFLICT',
      `Monitor '${this.#options.id}' measures something else on ${node}: metric, agent, window or scope differ. Their measurements are not put together; give it the same options everywhere, or another id.`,
      { id: this.#options.id, node },
    );
  }

  #markDirty(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#arm(this.#clock.now());
  }

  /** Sets the timer for what comes next: publishing, or measurements that get too old. */
  #arm(now: number): void {
    if (this.#options.scope === 'node') return;
    const dueAt = this.#dirty ? Math.max(now + gatherMs, this.#publishedAt + this.#pauseMs) : Number.POSITIVE_INFINITY;
    const at = Math.min(dueAt, this.#own.nextExpiry() ?? Number.POSITIVE_INFINITY);
    if (at === Number.POSITIVE_INFINITY || (this.#timer !== undefined && this.#timer.at <= at)) return;
    this.#timer?.timer.cancel();
    const timer = this.#clock.after(Math.max(1, at - now), () => this.#onTimer());
    this.#timer = { timer, at };
  }

  #onTimer(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    if (this.#own.expire(now)) this.#dirty = true;
    if (this.#dirty && now >= this.#publishedAt + this.#pauseMs) this.#publish(now);
    this.#arm(now);
  }

  #publish(now: number): void {
    this.#dirty = false;
    this.#publishedAt = now;
    const own = { sketch: this.#own.merged(), coveredMs: this.#own.coveredMs(now) };
    try {
      this.#tools.entries.set(this.#key, this.#value(this.#own.isEmpty ? undefined : own));
    } catch (error) {
      // Tried again with the next measurement; those of this node count here meanwhile.
      this.#tools.onError(error, `publishing monitor '${this.#options.id}'`);
    }
  }

  get #pauseMs(): number {
    return publishPauseMs(this.#options.windowMs, this.#heard.size + 1);
  }

  #value(measured: Measured | undefined): Value {
    return monitorValue({ digest: this.#digest, birth: this.#birth, measured });
  }
}
