/**
 * What must hold in every run, checked as it happens. A violation stops the run.
 *
 * - Agreement: one batch per sequence, over all honest replicas and all their lives.
 * - Total order and at-most-once: one command per position of the ledger, under one hash chain, none twice.
 * - Validity: only commands that a client submitted.
 * - Durability: an acknowledged result stays where it was acknowledged.
 * - Promises: an honest replica never signs two contents for one thing, restarts included.
 * - Justice: evidence names adversaries only, and convinces a third party.
 * - Time: the agreed time is the same everywhere, never goes back, and no liar pushes it ahead.
 * - Bounds: nothing in the state outgrows its limit.
 * Liveness is checked by the run itself: everything submitted is settled some time after the faults end.
 */
import type { NodeId } from '../../../src/node-id.ts';
import type { ReplicaEvent } from '../../../src/protocols/pbft/effects.ts';
import { checkEvidence } from '../../../src/protocols/pbft/evidence.ts';
import { type Message, statusSlots } from '../../../src/protocols/pbft/messages.ts';
import type { ReplicaState } from '../../../src/protocols/pbft/state.ts';
import type { Verify } from '../../../src/protocols/pbft/validate.ts';

export class Violation extends Error {}

/** The clock skew replicas tolerate, and the worst clock of an honest one. */
const maxAheadMs = 5_000 + 20_000;

interface Position {
  readonly command: string;
  readonly chain: string;
}

export class Checkers {
  readonly #digests = new Map<number, string>();
  readonly #times = new Map<number, number>();
  readonly #ledger: Position[] = [];
  readonly #places = new Map<string, number>();
  readonly #submitted = new Set<string>();
  readonly #promises = new Map<string, string>();
  readonly #acknowledged: { readonly position: number; readonly command: string; readonly chain: string }[] = [];
  /** The highest position a client has heard of. */
  acknowledgedLength = 0;

  submit(command: string): void {
    this.#submitted.add(command);
  }

  /** An honest replica applied a command. */
  applied(position: number, command: string, chain: string): void {
    const known = this.#ledger[position];
    if (known !== undefined) {
      if (known.chain !== chain) {
        throw new Violation(
          `order: position ${position} is '${known.command}' at one replica and '${command}' at another`,
        );
      }
      return;
    }
    if (!this.#submitted.has(command)) throw new Violation(`validity: nobody submitted '${command}'`);
    const elsewhere = this.#places.get(command);
    if (elsewhere !== undefined) {
      throw new Violation(`at most once: '${command}' ran at position ${elsewhere} and again at ${position}`);
    }
    this.#places.set(command, position);
    this.#ledger[position] = { command, chain };
  }

  /** A client was told. */
  acknowledge(command: string, position: number, chain: string): void {
    this.#acknowledged.push({ command, position, chain });
    this.acknowledgedLength = Math.max(this.acknowledgedLength, position);
    this.#checkAcknowledged(command, position, chain);
  }

  #checkAcknowledged(command: string, position: number, chain: string): void {
    const entry = this.#ledger[position];
    if (entry?.command !== command || entry.chain !== chain) {
      throw new Violation(`durability: '${command}' was acknowledged at ${position}, where '${entry?.command}' is`);
    }
  }

  /** A read may not miss what was acknowledged before it began, nor see what never was. */
  read(length: number, atLeast: number): void {
    if (length < atLeast)
      throw new Violation(`linearizability: a read saw ${length} entries after ${atLeast} were acknowledged`);
    if (length > this.#submitted.size)
      throw new Violation(`validity: a read saw ${length} of ${this.#submitted.size} entries`);
  }

  event(
    event: ReplicaEvent,
    replica: NodeId,
    liars: ReadonlySet<NodeId>,
    state: ReplicaState | undefined,
    verify: Verify,
    wallMs: number,
  ): void {
    if (event.kind === 'executed') {
      const known = this.#digests.get(event.seq);
      if (known !== undefined && known !== event.digest) {
        throw new Violation(`agreement: two batches at sequence ${event.seq}`);
      }
      this.#digests.set(event.seq, event.digest);
      this.#checkTime(event.seq, event.time, wallMs);
    } else if (event.kind === 'evidence') {
      const { evidence } = event;
      if (!liars.has(evidence.offender))
        throw new Violation(`justice: ${replica} accused the honest ${evidence.offender}`);
      if (state !== undefined && !checkEvidence(evidence, state.context, verify)) {
        throw new Violation(`justice: evidence of ${evidence.kind} does not convince`);
      }
    } else if (event.kind === 'diverged') {
      throw new Violation(`determinism: ${replica} computed another state at ${event.seq}`);
    }
  }

  #checkTime(seq: number, time: number, wallMs: number): void {
    const known = this.#times.get(seq);
    if (known !== undefined && known !== time) throw new Violation(`time: two agreed times at sequence ${seq}`);
    this.#times.set(seq, time);
    if (time < (this.#times.get(seq - 1) ?? 0)) throw new Violation(`time: it goes back at sequence ${seq}`);
    // At least one honest replica found it plausible, by a clock that may itself be wrong.
    if (time > wallMs + maxAheadMs)
      throw new Violation(`time: sequence ${seq} runs at ${time}, ${time - wallMs} ms ahead`);
  }

  /** An honest replica sends: what it signs must not contradict what it ever signed. */
  sent(replica: NodeId, message: Message): void {
    const { type } = message;
    if (
      type !== 'prePrepare' &&
      type !== 'prepare' &&
      type !== 'commit' &&
      type !== 'checkpoint' &&
      type !== 'viewChange'
    )
      return;
    if (message.replica !== replica) return; // Relayed.
    const place =
      type === 'checkpoint' ? message.seq : type === 'viewChange' ? message.view : `${message.view}/${message.seq}`;
    const key = `${replica}/${type}/${message.epoch}/${place}`;
    const content = type === 'viewChange' ? Buffer.from(message.body).toString('latin1') : message.digest;
    const known = this.#promises.get(key);
    if (known !== undefined && known !== content) {
      throw new Violation(`promises: ${replica} contradicts its ${type} of ${place} in epoch ${message.epoch}`);
    }
    this.#promises.set(key, content);
  }

  bounds(state: ReplicaState): void {
    const { window, checkpointInterval, sessionWindow, maxSessions } = state.context.parameters;
    const n = Math.max(...[...state.context.groups.values()].map(({ validators }) => validators.length));
    const limit = (name: string, size: number, bound: number): void => {
      if (size > bound) throw new Violation(`bounds: ${name} holds ${size}, more than ${bound}`);
    };
    limit('log', state.log.slots.size, window);
    for (const slot of state.log.slots.values()) {
      limit('prepares', slot.prepares.size, n);
      limit('commits', slot.commits.size, n);
      limit('claims', slot.claims.size, n);
      limit('batches', slot.batches.size, 4 + n);
    }
    limit('view changes', state.viewChanges.size, n);
    limit('snapshots', state.snapshots.size, window / checkpointInterval);
    limit('checkpoints', state.checkpoints.size, window / checkpointInterval);
    limit('pending', state.pending.count, state.options.maxPending);
    limit('reads', state.reads.length, state.options.maxWaitingReads);
    limit('peers', state.peers.size, state.options.maxObservers + n + 1);
    limit('sessions', state.replicated.sessions.sessions.size, maxSessions);
    for (const session of state.replicated.sessions.sessions.values())
      limit('replies', session.replies.size, sessionWindow);
    limit('re-proposals', state.reProposed.size, window + statusSlots);
  }

  /** At the end, with everybody up to date. */
  finish(lengths: readonly number[]): void {
    for (const { command, position, chain } of this.#acknowledged) {
      this.#checkAcknowledged(command, position, chain);
      for (const length of lengths) {
        if (length < position)
          throw new Violation(`durability: a replica ends with ${length} entries; ${position} were acknowledged`);
      }
    }
  }
}
