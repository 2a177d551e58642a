/** Breakers, limits and monitors of a mesh: over the entries that live nodes share, in the way of every call. */
import type { Quotas } from '../protocols/coordination/quotas/quotas.ts';
import { Breakers } from '../protocols/infrastructure/breaker/breakers.ts';
import { Limiters } from '../protocols/infrastructure/limiter/limiters.ts';
import { MeshInfrastructure } from '../protocols/infrastructure/mesh-infrastructure.ts';
import { Monitors } from '../protocols/infrastructure/monitor/monitors.ts';
import type { InfrastructureTools } from '../protocols/infrastructure/tools.ts';
import { CapacityMeter } from '../protocols/membership/capacity-meter.ts';
import type { Membership } from '../protocols/membership/membership.ts';
import type { BaseMessaging } from '../protocols/messaging/base.ts';
import type { Registry } from '../protocols/registry/registry.ts';
import type { SharedEntries } from '../protocols/sharing/shared-entries.ts';
import type { Variables } from '../protocols/variables/variables.ts';
import { metricSources } from './metrics.ts';
import type { Assembly } from './parts.ts';

export interface InfrastructureParts {
  /** The store `counters`. */
  readonly entries: SharedEntries;
  readonly registry: Pick<Registry, 'lookup' | 'query'>;
  readonly membership: Membership;
  readonly messaging: BaseMessaging;
  readonly variables: Variables;
  readonly quotas: Quotas | undefined;
  readonly onCoordinationLatency: (listener: (ms: number) => void) => () => void;
  /** Neighbours whose feeds differ; undefined in a mesh of one process. */
  readonly replicationLag: (() => number) | undefined;
}

export function infrastructureOver<Custom>(
  { options, clock, rng, events, onError }: Assembly<Custom>,
  parts: InfrastructureParts,
): MeshInfrastructure {
  const { entries, registry, membership, messaging, variables, quotas, onCoordinationLatency, replicationLag } = parts;
  const tools: InfrastructureTools = {
    entries,
    zone: options.zone,
    clock,
    rng,
    liars: options.membership.liars,
    registry,
    messaging,
    onError,
  };
  const metrics = metricSources({
    clock,
    mailboxes: () => messaging.status().mailboxes,
    variableSkewMs: () => largest(variables.status().map(({ skewMs }) => skewMs)),
    onCoordinationLatency,
    replicationLag,
  });
  return new MeshInfrastructure(
    {
      breakers: new Breakers(tools, (change) => events.emit('breaker', change)),
      limiters: new Limiters({
        ...tools,
        quotas,
        capacityOf: (node, name) => membership.get(node)?.capacity[name],
      }),
      monitors: new Monitors({ ...tools, metrics, onAlert: (alert) => events.emit('alert', alert) }),
    },
    (policy) => messaging.setPolicy(policy),
  );
}

function largest(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.max(...values);
}

/** With `measureCapacity`: what this node says of its free resources stays true. */
export async function keepCapacityFresh<Custom>(
  { options, clock, lifecycle, onError }: Assembly<Custom>,
  membership: { announce(changes: { readonly capacity: Readonly<Record<string, number>> }): void },
): Promise<void> {
  if (!options.measureCapacity) return;
  const announce = (capacity: Readonly<Record<string, number>>): void => membership.announce({ capacity });
  await lifecycle.start(
    'capacity',
    () => {
      const meter = new CapacityMeter({ clock, fixed: options.capacity, announce, onError });
      meter.start();
      return meter;
    },
    (meter) => meter.stop(),
  );
}
