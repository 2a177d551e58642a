/** The replicated state machine, as the replica sees it. */
import type { NodeId } from '../../node-id.ts';

export interface CommandContext {
  /** Sequence of the batch; the same everywhere. */
  readonly seq: number;
  /** Agreed time: milliseconds since 1970, never going back. Never use another clock. */
  readonly time: number;
  /** Who signed the command. */
  readonly client: NodeId;
  /** Who decides at this sequence, in the order of their configuration; the same everywhere. */
  readonly validators: readonly NodeId[];
}

/**
 * This replica cannot execute what all others can, say because it lacks the code for it. It must stop: to answer like a
 * command that failed would be to differ from the others.
 */
export class FatalApplicationError extends Error {
  override readonly name = 'FatalApplicationError';
}

/**
 * Deterministic: equal commands in equal order give equal results and equal snapshots, byte for byte, at
 * every replica. No clock, no randomness, no iteration over anything whose order is not fixed.
 */
export interface Application {
  /**
   * Executes one command. What it throws is answered as a failure, so it must throw before it changes anything; but a
   * `FatalApplicationError` reaches whoever runs the replica, which has to stop.
   */
  apply(command: Uint8Array, context: CommandContext): Uint8Array;
  /** Answers without changing anything. */
  query(query: Uint8Array): Uint8Array;
  /** The whole state. */
  snapshot(): Uint8Array;
  /** Replaces the whole state by one that `snapshot` gave. */
  restore(snapshot: Uint8Array): void;
}
