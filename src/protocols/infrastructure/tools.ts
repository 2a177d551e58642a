/** What breakers, limits and monitors are made with. */
import type { Clock, Rng } from '../../clock.ts';
import type { AgentId } from '../../value.ts';
import type { Messaging } from '../messaging/messaging.ts';
import type { AgentRecord, Criteria } from '../registry/records.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';

export interface InfrastructureTools {
  /** The store `counters`. Keys begin with `breaker/`, `limit/`, `monitor/`. */
  readonly entries: SharedEntries;
  readonly zone: string;
  readonly clock: Clock;
  readonly rng: Rng;
  /** How many nodes of the mesh may lie (`membership.liars`). */
  readonly liars: number;
  readonly registry: {
    lookup(id: AgentId): AgentRecord | undefined;
    query(criteria: Criteria): readonly AgentRecord[];
  };
  /** For alerts to agents. */
  readonly messaging: Pick<Messaging, 'call'>;
  /** For what nobody waits for: logs. */
  readonly onError: (error: unknown, where: string) => void;
}
