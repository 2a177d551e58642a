/**
 * This process as a validator: a replica of the agreement protocol that runs the coordination machine, with what belongs to it. It tells subscribers what happened, signs
 * what is settled, and makes agreed time known when something is due and nobody else orders anything.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { QuorateError } from '../../../errors.ts';
import type { Identity } from '../../../identity.ts';
import type { NodeId } from '../../../node-id.ts';
import { ReplicaDriver, type ReplicaStatus } from '../../pbft/driver/replica-driver.ts';
import type { SignatureVerifier } from '../../pbft/driver/verifier.ts';
import type { WriteAheadLog } from '../../pbft/driver/write-ahead-log.ts';
import type { ReplicaEvent } from '../../pbft/effects.ts';
import { encodeMessage, writeProof } from '../../pbft/encoding.ts';
import { type Group, isValidator } from '../../pbft/group.ts';
import type { Verdict } from '../../pbft/validate.ts';
import { Writer } from '../../pbft/wire.ts';
import { statementBytes } from '../certificates/statement.ts';
import { type CoordinationMachine, tickCommand } from '../machine/machine.ts';
import type { GroupDefinition } from './definition.ts';
import { EventServer } from './event-server.ts';
import { EventfulApplication } from './eventful-application.ts';
import type { GroupFrame } from './frames.ts';

export interface ValidatorParts {
  readonly definition: GroupDefinition;
  readonly identity: Identity;
  /** As `identity.sign`, but what was signed need not be checked again. */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly machine: CoordinationMachine;
  readonly log: WriteAheadLog;
  readonly clock: Clock;
  readonly verifier: SignatureVerifier;
  /** By the channel of the agreement protocol. */
  readonly send: (to: NodeId, bytes: Uint8Array) => void;
  /** By the channel of coordination. */
  readonly tell: (to: NodeId, frame: GroupFrame) => void;
  /** Orders a command of this node's own. */
  readonly submit: (command: Uint8Array) => Promise<unknown>;
  readonly onEvent: (event: ReplicaEvent) => void;
  readonly onRefused: (from: NodeId, verdict: Verdict | 'overloaded' | 'foreign-request') => void;
  readonly onFailed: (error: QuorateError) => void;
}

/** The first validator in line makes time known this long after something was due, each next one as much later. Milliseconds. */
const tickStepMs = 40;
/** Agreed time may lie behind this clock; then it is tried again. */
const tickAgainMs = 250;
/** Changes of validators that a certificate can show; what it takes must fit a frame. */
const maxSuccession = 1_024;

export class Validator {
  readonly #parts: ValidatorParts;
  readonly #application: EventfulApplication;
  readonly #replica: ReplicaDriver;
  readonly #events: EventServer;
  #tick: Timer | undefined;
  #tickFor: number | undefined;

  /** Restores what the log holds. Throws `DATA_DIR_UNUSABLE` or `STATE_MACHINE_MISSING`. */
  constructor(parts: ValidatorParts) {
    this.#parts = parts;
    this.#application = new EventfulApplication(parts.machine);
    this.#events = new EventServer(parts.tell);
    const { definition, identity, sign, log, clock, verifier, send, onRefused, onFailed } = parts;
    const { name, founders, parameters } = definition;
    this.#replica = new ReplicaDriver({
      setup: { self: identity.id, sign, name, founders, parameters, application: this.#application },
      log,
      clock,
      verifier,
      send,
      onRefused,
      onFailed,
      onEvent: (event) => this.#onEvent(event),
    });
  }

  start(): void {
    this.#replica.start();
    this.#planTick();
  }

  stop(): void {
    this.#tick?.cancel();
    this.#replica.stop();
  }

  receive(from: NodeId, bytes: Uint8Array): void {
    this.#replica.receive(from, bytes);
  }

  unreachable(peer: NodeId): void {
    this.#replica.suspect(peer);
  }

  /** A frame meant for a validator. */
  onFrame(from: NodeId, frame: GroupFrame): void {
    if (frame.type === 'subscribe') this.#events.subscribe(from, frame.topic);
    else if (frame.type === 'unsubscribe') this.#events.unsubscribe(from, frame.topic);
    else if (frame.type === 'certify') this.#certify(from, frame.id, frame.query);
    else if (frame.type === 'health') {
      const { epoch, view, active, executed, stable, logBytes } = this.status();
      this.#parts.tell(from, { type: 'healthy', id: frame.id, epoch, view, active, executed, stable, logBytes });
    }
  }

  forget(peer: NodeId): void {
    this.#events.forget(peer);
  }

  /** The state of this replica as it is: true, perhaps old. */
  query(query: Uint8Array): Uint8Array {
    return this.#application.query(query);
  }

  get group(): Group {
    return this.#replica.state.group;
  }

  /** The validators decided on but not yet in force, if any. */
  get nextGroup(): Group | undefined {
    return this.#replica.state.replicated.membership.next;
  }

  status(): ReplicaStatus {
    return this.#replica.status();
  }

  /** One encoded proof for each change of validators since the founders. */
  succession(): Uint8Array[] {
    return this.#replica.state.epochProofs.slice(0, maxSuccession).map((proof) => {
      const writer = new Writer();
      writeProof(writer, proof);
      return writer.finish();
    });
  }

  /** The way to the present validators, encoded; undefined while the founders rule. */
  catchUp(): Uint8Array | undefined {
    const { epochProofs, stable } = this.#replica.state;
    if (epochProofs.length === 0) return undefined;
    return encodeMessage({ type: 'catchUp', epochs: epochProofs, checkpoint: stable.proof });
  }

  #onEvent(event: ReplicaEvent): void {
    if (event.kind === 'executed') {
      for (const happened of this.#application.take(event.seq)) this.#events.tell(happened);
      this.#planTick();
    }
    if (this.#application.wasReplaced()) this.#events.gap();
    this.#parts.onEvent(event);
  }

  #certify(from: NodeId, id: number, query: Uint8Array): void {
    const { definition, identity, tell } = this.#parts;
    const { group } = this;
    const statement = isValidator(group, identity.id) ? this.#application.machine.settled(query) : undefined;
    const succession = this.succession();
    // What this replica has executed but not yet on disk it must not vouch for.
    this.#replica.whenDurable(() => {
      const answer = { type: 'certified', id, epoch: group.epoch, succession } as const;
      if (statement === undefined) tell(from, answer);
      else {
        const signature = identity.sign(statementBytes(definition.id, group.epoch, query, statement));
        tell(from, { ...answer, statement, signature });
      }
    });
  }

  /** Wakes when the next deadline of the machine has passed, those further back in line a little later. */
  #planTick(again = 0): void {
    const due = this.#application.machine.nextDeadline();
    if (due === this.#tickFor && again === 0) return;
    this.#tickFor = due;
    this.#tick?.cancel();
    if (due === undefined || !isValidator(this.group, this.#parts.identity.id)) return;
    const { clock, identity } = this.#parts;
    const { validators } = this.group;
    const primary = validators.indexOf(this.status().primary);
    const rank = (validators.indexOf(identity.id) - primary + validators.length) % validators.length;
    const wait = Math.max(again, due - clock.wallNow() + rank * tickStepMs);
    this.#tick = clock.after(Math.max(0, wait), () => void this.#submitTick(due));
  }

  async #submitTick(due: number): Promise<void> {
    if (this.#application.machine.nextDeadline() !== due) {
      this.#planTick();
      return;
    }
    try {
      await this.#parts.submit(tickCommand);
    } catch {
      // Without a quorum time stands still; whoever waits has a deadline of its own.
    }
    if (this.#tickFor === due) this.#planTick(tickAgainMs);
  }
}
