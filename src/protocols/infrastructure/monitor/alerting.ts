/**
 * Raises the alerts of one monitor while this node is its owner, and hears those of the owner while it is not. What a state means and which of two is
 * the later is decided in `incident.ts`; here is when to judge, what to write and whom to call.
 */
import { hash } from 'node:crypto';
import type { Timer } from '../../../clock.ts';
import type { Value } from '../../../value.ts';
import type { InfrastructureTools } from '../tools.ts';
import { AlertCalls } from './alert-calls.ts';
import { type AlertState, adopt, isLater, nextState } from './incident.ts';
import { crossed, levelAfter } from './levels.ts';
import type { Alert, AlertLevel } from './monitor.ts';
import { alertKey, alertValue, parseAlertEntry } from './monitor-entries.ts';
import type { ResolvedMonitorOptions } from './monitor-options.ts';
import { Ownership } from './owner.ts';
import { publishPauseMs, type SharedMeasurements } from './shared-measurements.ts';

/** A new owner first hears what the one before it has said: it judges after this, milliseconds. */
const settleMs = 500;
/** Measurements that come together are judged once. */
const gatherMs = 25;
/** Words of others are heard so often: an owner judges no more often, so whoever says more is no honest one. Milliseconds. */
const hearEveryMs = 50;

export class Alerting {
  readonly #tools: InfrastructureTools;
  readonly #options: ResolvedMonitorOptions;
  readonly #measurements: SharedMeasurements;
  readonly #onAlert: (alert: Alert) => void;
  readonly #key: string;
  readonly #prefix: string;
  readonly #ownership: Ownership;
  readonly #calls: AlertCalls | undefined;
  readonly #judges: boolean;
  readonly #pauseMs: number;
  readonly #madeAt: number;
  readonly #unsubscribe: () => void;
  #state: AlertState | undefined;
  #ownerSince = Number.POSITIVE_INFINITY;
  #judgedAt = Number.NEGATIVE_INFINITY;
  #timer: { readonly timer: Timer; readonly at: number } | undefined;
  /** There are measurements that were not judged yet; a timer is set then. */
  #isNew = false;
  /** The state in this node's entry. */
  #written: AlertState | undefined;
  #calling: AlertState | undefined;
  #stopped = false;
  #heardAt = Number.NEGATIVE_INFINITY;
  #hearTimer: Timer | undefined;
  /** Malformed entries of others. */
  refused = 0;

  constructor(
    tools: InfrastructureTools,
    options: ResolvedMonitorOptions,
    measurements: SharedMeasurements,
    onAlert: (alert: Alert) => void,
  ) {
    this.#tools = tools;
    this.#options = options;
    this.#measurements = measurements;
    this.#onAlert = onAlert;
    this.#key = alertKey(options.id);
    const { scope, thresholds, notify } = options;
    const { entries, zone, clock } = tools;
    this.#prefix = scope === 'cluster' ? options.id : `${options.id}@${scope === 'zone' ? zone : entries.self}`;
    this.#ownership = new Ownership(this.#prefix);
    this.#judges = thresholds.warning !== undefined || thresholds.critical !== undefined;
    this.#pauseMs = publishPauseMs(options.windowMs, 1) / 5;
    this.#madeAt = clock.now();
    this.#calls = notify === undefined ? undefined : new AlertCalls({ ...tools, ...notify });
    if (scope === 'node' || !this.#judges) this.#unsubscribe = () => undefined;
    else {
      // An incident that is under way already is known, but is no news.
      this.#hear(() => undefined);
      this.#unsubscribe = entries.onKey(this.#key, () => this.#hearSoon());
    }
    this.onMembers();
  }

  get level(): AlertLevel {
    return this.#state?.level ?? 'ok';
  }

  get incident(): string | undefined {
    return this.#state === undefined || this.#state.level === 'ok' ? undefined : this.#state.incident;
  }

  /** There is something new to judge. */
  onMeasurements(): void {
    if (this.#isNew || !this.#isOwner) return;
    this.#isNew = true;
    this.#arm(this.#tools.clock.now() + gatherMs);
  }

  /** Other nodes have the monitor now. */
  onMembers(): void {
    if (!this.#judges) return;
    const { entries, clock } = this.#tools;
    const isOwner =
      this.#options.scope === 'node' || this.#ownership.ownerOf(this.#measurements.members()) === entries.self;
    if (!isOwner) {
      this.#ownerSince = Number.POSITIVE_INFINITY;
      this.#timer?.timer.cancel();
      this.#timer = undefined;
      this.#isNew = false;
      this.#withdraw();
    } else if (!this.#isOwner) {
      this.#ownerSince = clock.now();
      this.#arm(this.#settledAt);
    } else this.onMeasurements();
  }

  /** `forget`: the monitor is gone here, while the node goes on. */
  stop(forget: boolean): void {
    this.#stopped = true;
    this.#unsubscribe();
    this.#hearTimer?.cancel();
    this.#timer?.timer.cancel();
    this.#calls?.stop();
    if (forget && this.#written !== undefined) this.#tools.entries.delete(this.#key);
  }

  get #isOwner(): boolean {
    return this.#ownerSince !== Number.POSITIVE_INFINITY;
  }

  get #settledAt(): number {
    // A node judges what is only its own at once.
    return this.#ownerSince + (this.#options.scope === 'node' ? 0 : settleMs);
  }

  #arm(wanted: number): void {
    const { clock } = this.#tools;
    const at = Math.max(wanted, this.#judgedAt + this.#pauseMs, this.#settledAt);
    if (this.#stopped || at === Number.POSITIVE_INFINITY || (this.#timer !== undefined && this.#timer.at <= at)) return;
    this.#timer?.timer.cancel();
    const timer = clock.after(Math.max(1, at - clock.now()), () => {
      this.#timer = undefined;
      // After a standstill of the process the others may have judged meanwhile: it begins as a new owner does.
      if (clock.now() - at > settleMs && this.#isOwner) this.#ownerSince = clock.now();
      this.#judge();
    });
    this.#timer = { timer, at };
  }

  #judge(): void {
    const { clock, entries } = this.#tools;
    const now = clock.now();
    if (now < this.#settledAt) {
      this.#arm(this.#settledAt);
      return;
    }
    this.#judgedAt = now;
    this.#isNew = false;
    const { thresholds } = this.#options;
    const value = this.#value(now);
    const level = levelAfter(this.level, value, thresholds);
    if (level !== this.level) {
      const threshold = crossed(level, this.level, thresholds);
      const source = { prefix: this.#prefix, birth: this.#measurements.birth, self: entries.self };
      const told = this.#calls === undefined;
      const said = nextState(this.#state, { level, value, threshold }, { ...source, wallNow: clock.wallNow(), told });
      this.#take(said, (alert) => this.#onAlert(alert));
    }
    this.#carry();
    const silenceAt =
      this.#options.minSamples === 0 && value === undefined ? this.#madeAt + this.#options.windowMs : Infinity;
    this.#arm(Math.min(this.#measurements.nextExpiry(), silenceAt));
  }

  /** Undefined where there is too little to judge by. */
  #value(now: number): number | undefined {
    const { minSamples, aggregation, windowMs } = this.#options;
    const aggregate = this.#measurements.aggregate();
    if (aggregate.samples < minSamples) return undefined;
    // Before a whole window has passed, silence is only the beginning.
    if (aggregate.samples === 0 && now < this.#madeAt + windowMs) return undefined;
    return aggregate.value(aggregation);
  }

  #hearSoon(): void {
    const { clock } = this.#tools;
    const wait = this.#heardAt + hearEveryMs - clock.now();
    const hear = (): void => {
      this.#hearTimer = undefined;
      this.#heardAt = clock.now();
      this.#hear((alert) => this.#onAlert(alert));
    };
    if (this.#hearTimer !== undefined) return;
    if (wait <= 0) hear();
    else this.#hearTimer = clock.after(wait, hear);
  }

  /** Reads what the nodes of the scope say. */
  #hear(onAlert: (alert: Alert) => void): void {
    const { entries, zone, clock } = this.#tools;
    const wallNow = clock.wallNow();
    const said: AlertState[] = [];
    for (const [node, value] of entries.of(this.#key)) {
      if (node === entries.self || (this.#options.scope === 'zone' && entries.zoneOf(node) !== zone)) continue;
      const state = parseAlertEntry(value, wallNow);
      if (state === undefined) this.refused += 1;
      else said.push(state);
    }
    // Only the last word counts; what lies between came and went unheard.
    const [latest] = said.sort((a, b) => (isLater(a, b) ? -1 : 1));
    if (latest !== undefined) this.#take(latest, onAlert);
    if (this.#isOwner) this.#arm(clock.now() + gatherMs);
    else this.#withdraw();
  }

  #take(said: AlertState, onAlert: (alert: Alert) => void): void {
    const before = this.#state;
    const { state, changes } = adopt(before, said);
    this.#state = state;
    for (const change of changes) {
      const alert = this.#alertOf(change);
      // Its own incident has been replaced by another's: nobody else will tell the agents that it is over. What somebody only says that this node has raised, it need not end.
      const isOwn = before?.raisedBy === this.#tools.entries.self && this.#written?.incident === change.incident;
      if (isOwn && change.incident !== said.incident) {
        this.#calls?.send(alert as unknown as Value, callKey(change), () => undefined);
      }
      onAlert(alert);
    }
  }

  /** The owner's entry holds the latest state, whoever found it: it is what a later owner goes on from. */
  #carry(): void {
    const state = this.#state;
    if (state === undefined || this.#stopped) return;
    if (this.#options.scope !== 'node' && this.#written !== state) {
      try {
        this.#tools.entries.set(this.#key, alertValue(state));
        this.#written = state;
      } catch (error) {
        this.#tools.onError(error, `publishing an alert of monitor '${this.#options.id}'`);
      }
    }
    if (state.told || this.#calls === undefined) return;
    const calling = this.#calling;
    if (calling?.at === state.at && calling.raisedBy === state.raisedBy) return;
    this.#calling = state;
    this.#calls.send(this.#alertOf(state) as unknown as Value, callKey(state), () => this.#onTold(state));
  }

  #onTold({ at, raisedBy }: AlertState): void {
    const state = this.#state;
    if (state === undefined || state.at !== at || state.raisedBy !== raisedBy) return;
    this.#state = { ...state, told: true };
    if (this.#isOwner) this.#carry();
  }

  /** Not the owner (any more): its word goes once the owner says the same, or something later. */
  #withdraw(): void {
    const { entries, clock } = this.#tools;
    const written = this.#written;
    if (written === undefined) return;
    const wallNow = clock.wallNow();
    const isCarriedOn = [...entries.of(this.#key)].some(([node, value]) => {
      const said = node === entries.self ? undefined : parseAlertEntry(value, wallNow);
      return said !== undefined && !isLater(written, said);
    });
    if (!isCarriedOn) return;
    this.#written = undefined;
    entries.delete(this.#key);
  }

  #alertOf({ incident, level, previous, value, threshold, raisedBy, at }: AlertState): Alert {
    const { id: monitor, metric, aggregation, scope } = this.#options;
    return { monitor, incident, level, previous, value, threshold, metric, aggregation, scope, raisedBy, at };
  }
}

/** The same for the same change of level, whichever owner calls. */
function callKey({ incident, change }: AlertState): string {
  return `alert/${hash('sha256', incident, 'hex').slice(0, 32)}/${change}`;
}
