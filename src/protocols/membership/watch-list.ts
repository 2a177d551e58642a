/**
 * Whom the detector watches: those this node observes by the rings, those it has accused until they come
 * back, and, while a verdict lacks votes, the witnesses that have not spoken and the accused itself.
 *
 * A mesh that is just forming changes everybody's neighbours with every newcomer, and each new neighbour
 * costs a connection. So a few are watched at once and the rest when the rings have been quiet for a moment.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import { targetKey } from '../../p2p/detector/frames.ts';
import { probePeriodMs } from '../../p2p/detector/timings.ts';
import type { Subject } from '../../p2p/detector/watch.ts';
import type { MembershipTimings } from './settings.ts';
import type { MembershipView } from './view.ts';

/** Ring subjects watched without waiting for quiet. */
const atOnce = 3;
/** Nodes watched for the sake of undecided accusations at one time. */
const maxConsulted = 16;

export class WatchList {
  readonly #view: MembershipView;
  readonly #self: NodeId;
  readonly #clock: Clock;
  readonly #timings: Pick<MembershipTimings, 'quietMs' | 'maxUnrestMs'>;
  readonly #onSubjects: (subjects: readonly Subject[]) => void;
  /** Ring subjects in force. */
  #watched = new Set<NodeId>();
  /** What was told last, as text, to tell only changes. */
  #told = '';
  #unrestSince: number | undefined;
  #wanted = '';
  #ringsVersion = -1;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(
    view: MembershipView,
    self: NodeId,
    clock: Clock,
    timings: Pick<MembershipTimings, 'quietMs' | 'maxUnrestMs'>,
    onSubjects: (subjects: readonly Subject[]) => void,
  ) {
    this.#view = view;
    this.#self = self;
    this.#clock = clock;
    this.#timings = timings;
    this.#onSubjects = onSubjects;
  }

  /** To be called after each change of the view. */
  refresh(): void {
    if (this.#stopped) return;
    if (this.#view.rings.version !== this.#ringsVersion) this.#onRingChange();
    this.#tell();
  }

  #onRingChange(): void {
    const wanted = this.#view.rings.subjectsOf(this.#self);
    this.#ringsVersion = this.#view.rings.version;
    const key = wanted.join();
    if (key !== this.#wanted) {
      this.#wanted = key;
      this.#await();
      for (const id of this.#watched) if (!this.#view.rings.has(id) && !this.#isDue(id)) this.#watched.delete(id);
      for (const id of wanted) if (this.#watched.size < atOnce) this.#watched.add(id);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #await(): void {
    const now = this.#clock.now();
    this.#unrestSince ??= now;
    const delay = Math.min(this.#timings.quietMs, this.#unrestSince + this.#timings.maxUnrestMs - now);
    this.#timer?.cancel();
    this.#timer = this.#clock.after(Math.max(0, delay), () => {
      this.#unrestSince = undefined;
      const due = [...this.#watched].filter((id) => this.#isDue(id));
      this.#watched = new Set([...this.#view.rings.subjectsOf(this.#self), ...due]);
      this.#tell();
    });
  }

  /** Others found it unreachable, and we owe our own finding: the more votes, the less a verdict hangs on one of them. */
  #isDue(id: NodeId): boolean {
    if (this.#view.get(id)?.state !== 'unreachable') return false;
    return this.#view.rings.observersOf(id).includes(this.#self);
  }

  #tell(): void {
    const ids = new Set(this.#watched);
    for (const id of this.#view.ownAccused()) {
      const state = this.#view.get(id)?.state;
      if (state !== undefined && state !== 'left') ids.add(id);
    }
    const most = ids.size + maxConsulted;
    for (const { id, waitingFor, needsOwnEvidence } of this.#view.undecided()) {
      const consulted = this.#view.ownAccusation(id) === undefined ? [] : waitingFor;
      for (const other of needsOwnEvidence ? [id, ...consulted] : consulted) {
        if (other !== this.#self && ids.size < most) ids.add(other);
      }
    }
    const subjects = [...ids].sort().map((id) => this.#subject(id));
    const told = subjects.map(({ id, periodMs, helpers }) => `${id} ${periodMs} ${helpers.join()}`).join(';');
    if (told === this.#told) return;
    this.#told = told;
    this.#onSubjects(subjects);
  }

  /** The observers of one subject probe it in turn, each at its own part of a period counted from 1970. */
  #subject(id: NodeId): Subject {
    const observers = this.#view.rings.observersOf(id).sort();
    const periodMs = probePeriodMs(observers.length);
    const rank = Math.max(0, observers.indexOf(this.#self));
    const offset = Number.parseInt(targetKey(id).slice(0, 8), 16) % periodMs;
    const wallPhase = offset + (rank * periodMs) / Math.max(1, observers.length);
    const wallOffset = this.#clock.wallNow() - this.#clock.now();
    const phaseMs = (((wallPhase - wallOffset) % periodMs) + periodMs) % periodMs;
    return { id, helpers: observers.filter((observer) => observer !== this.#self), periodMs, phaseMs };
  }
}
