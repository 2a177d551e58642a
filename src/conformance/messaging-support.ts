/** What the cases of messaging share. */
import type { NodeId } from '../node-id.ts';
import type { AgentHandler, Messaging } from '../protocols/messaging/messaging.ts';
import type { AgentMetadata } from '../protocols/registry/registry.ts';
import type { Cases } from './suite.ts';

/** A caller, and a place where agents run: the same node, or another one of the same mesh. */
export interface MessagingSubject {
  /** The messaging under test, on the caller's node. */
  readonly messaging: Messaging;
  readonly callerNode: NodeId;
  /**
   * Registers an agent at the callee's node and waits until the caller can look it up. `maxConcurrent` and
   * `mailbox` bound its invocations. The returned function unregisters it there.
   */
  register(
    id: string,
    handler: AgentHandler,
    options?: Partial<AgentMetadata> & { readonly maxConcurrent?: number; readonly mailbox?: number },
  ): Promise<() => Promise<void>>;
  /** Stops everything. Called at the end of each case. */
  stop(): Promise<void>;
}

export type MessagingCases = Cases<MessagingSubject>;

/** A promise to be settled from outside, to hold a handler until the case lets it go. */
export function gate<T = void>(): { readonly promise: Promise<T>; open(value: T): void } {
  const { promise, resolve } = Promise.withResolvers<T>();
  return { promise, open: resolve };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** Resolves when the signal aborts; at once when it has. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
