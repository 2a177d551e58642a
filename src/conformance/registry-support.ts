/** What the cases of the registry share. */
import assert from 'node:assert/strict';
import type { NodeId } from '../node-id.ts';
import type { AgentHandler } from '../protocols/messaging/messaging.ts';
import type { AgentRecord, Registry, RegistryEvent } from '../protocols/registry/registry.ts';
import type { Cases } from './suite.ts';

/** One fresh, empty registry without a metadata schema, and what is known about it. */
export interface RegistrySubject {
  readonly registry: Registry;
  /** The node it runs on. */
  readonly self: NodeId;
  /** The zone of that node. */
  readonly zone: string;
  /** Stops the registry. Must be idempotent: called at the end of each case, and by cases about stopping before that. */
  stop(): Promise<void>;
}

export type RegistryCases = Cases<RegistrySubject>;

export const handler: AgentHandler = () => undefined;

export const ids = (records: readonly AgentRecord[]): string[] => records.map(({ id }) => id);

/** The next `count` events. */
export async function take(events: AsyncIterator<RegistryEvent>, count: number): Promise<RegistryEvent[]> {
  const taken: RegistryEvent[] = [];
  while (taken.length < count) {
    const { done, value } = await events.next();
    assert.ok(done !== true, `the watch ended after ${taken.length} of ${count} events`);
    taken.push(value);
  }
  return taken;
}

/** Every event up to and including the `up` of the agent `id`, which a case registers last. */
export async function takeUntilUp(events: AsyncIterator<RegistryEvent>, id: string): Promise<RegistryEvent[]> {
  const taken: RegistryEvent[] = [];
  for (;;) {
    const [event] = await take(events, 1);
    taken.push(event as RegistryEvent);
    if (event?.type === 'up' && event.record.id === id) return taken;
  }
}

/** `up planner`, `down planner unregistered`: events in one word each, to compare. */
export const words = (events: readonly RegistryEvent[]): string[] =>
  events.map((event) => `${event.type} ${event.record.id}${event.type === 'down' ? ` ${event.reason}` : ''}`);
