/** What goes into a client's core and what comes out; client.ts is the core. */
import type { NodeId } from '../../node-id.ts';
import type { Message } from './messages.ts';
import type { CommandResult } from './outcome.ts';
import type { Accepted } from './validate.ts';

export interface ClientOptions {
  /** An unanswered request goes to all validators after this; then again, doubling up to four times as long. */
  readonly retryMs: number;
  /** A command without result by then is given up, its outcome unknown. */
  readonly deadlineMs: number;
  /** A read without quorum by then is ordered instead. */
  readonly readTimeoutMs: number;
  /** Requests outstanding at once; commands beyond gather into bundles. */
  readonly maxOutstanding: number;
  /** Commands that may wait for their turn. */
  readonly maxQueued: number;
}

export const defaultClientOptions: ClientOptions = {
  retryMs: 200,
  deadlineMs: 5_000,
  readTimeoutMs: 100,
  maxOutstanding: 8,
  maxQueued: 16_384,
};

/** How a command ended. */
export type CommandOutcome =
  | { readonly kind: 'result'; readonly result: CommandResult }
  | { readonly kind: 'voted'; readonly effective: number }
  | { readonly kind: 'refused' }
  /** Never sent: it has certainly not run, and will not. */
  | { readonly kind: 'unsent'; readonly silent: readonly NodeId[] }
  /** It may or may not have run, or may still; `silent` are the validators that did not answer. */
  | { readonly kind: 'unknown'; readonly silent: readonly NodeId[] }
  /** Too much waits here; it was not sent. */
  | { readonly kind: 'overloaded' };

export type ClientInput =
  /** `timeoutMs` in place of `deadlineMs` of the options. */
  | { readonly type: 'submit'; readonly id: number; readonly command: Uint8Array; readonly timeoutMs?: number }
  | { readonly type: 'reconfigure'; readonly id: number; readonly validators: readonly NodeId[]; readonly f: number }
  /**
   * `ordered` is the command that gives the same answer through the log, where a quorum does not; without it, f + 1 equal answers
   * suffice: a true state, but perhaps an old one.
   */
  | {
      readonly type: 'read';
      readonly id: number;
      readonly query: Uint8Array;
      readonly ordered?: Uint8Array;
      readonly timeoutMs?: number;
    }
  /** Nobody waits for it any more; it is not sent if it was not yet, and nothing is said of it. */
  | { readonly type: 'forget'; readonly id: number }
  /** Inputs of one moment: commands among them share a request. */
  | { readonly type: 'together'; readonly inputs: readonly ClientInput[] }
  | { readonly type: 'message'; readonly accepted: Accepted }
  | { readonly type: 'wake' };

export type ClientEffect =
  | { readonly type: 'send'; readonly to: readonly NodeId[]; readonly message: Message }
  | { readonly type: 'wake'; readonly atMs: number }
  | { readonly type: 'settled'; readonly id: number; readonly outcome: CommandOutcome };
