/** What a connection and a node see of the world they are in; `SimulatedWorld` is the one implementation. */
import type { Rng } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import type { NetworkCounters } from '../network.ts';
import type { ScheduledEvent } from './event-queue.ts';

/** What an event loop does to its events: run, hold, or drop them. */
export interface SimulatedProcess {
  state: 'running' | 'paused' | 'crashed';
  /** Events that came while it was paused or busy. */
  readonly backlog: (() => void)[];
  /** True while an event that works off the backlog is scheduled. */
  workingOff: boolean;
  /** Virtual milliseconds each event keeps it busy; 0 for a node as fast as it likes. */
  busyMsPerEvent: number;
  busyUntil: number;
}

/** What a connection knows of the node at either end. */
export interface ConnectedNode {
  readonly self: NodeId;
  readonly process: SimulatedProcess;
  readonly counters: NetworkCounters;
  reportError(error: unknown, where: string): void;
}

/** What carries frames between nodes. */
export interface Medium<Node> {
  /** Virtual milliseconds since the world began. */
  readonly now: number;
  /** An event in `delayMs`; with a process given, at that process: held while it is paused, dropped once it crashed. */
  schedule(delayMs: number, process: SimulatedProcess | undefined, fire: () => void): ScheduledEvent;
  /** Runs `fire` at a process now, or when it is awake and free again. */
  runAt(process: SimulatedProcess, fire: () => void): void;
  /** How long the next frame takes. */
  delay(from: Node, to: Node): number;
  /** True while a partition keeps frames from passing. */
  blocked(from: Node, to: Node): boolean;
}

/** What a node asks of the world besides. */
export interface Surroundings<Node> extends Medium<Node> {
  readonly seed: number;
  readonly rng: Rng;
  readonly options: {
    readonly broadcastLoss: number;
    readonly broadcastDuplication: number;
    readonly broadcastReordering: number;
    readonly wallStart: number;
  };
  /** Whoever listens at a host now. */
  listenerAt(host: string): Node | undefined;
}
