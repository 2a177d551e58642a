/** A mesh of one process: the same registry and messaging cores, with nobody else to hear of. */
import { HybridClock } from '../hlc.ts';
import { createIdentity } from '../identity.ts';
import { LocalMembership } from '../protocols/membership/local-membership.ts';
import { LocalMessaging } from '../protocols/messaging/local.ts';
import { LocalRegistry } from '../protocols/registry/local-registry.ts';
import type { Registry } from '../protocols/registry/registry.ts';
import { LocalEntries } from '../protocols/sharing/local-entries.ts';
import { type LocalCoordination, localCoordination } from './coordination.ts';
import { infrastructureOver, keepCapacityFresh } from './infrastructure.ts';
import { type Assembly, drainAndStop, type MeshParts, messagingLimits } from './parts.ts';
import { variablesOver } from './variables.ts';

export async function assembleLocal<Custom>(assembly: Assembly<Custom>): Promise<MeshParts<Custom>> {
  const { options, clock, rng, lifecycle, onError } = assembly;
  const identity = createIdentity();
  const { id } = identity;
  const hlc = new HybridClock(() => clock.wallNow());
  const membership = new LocalMembership(id, {
    addresses: [],
    zone: options.zone,
    roles: options.roles,
    capacity: options.capacity,
    version: assembly.version,
    incarnation: 0,
    startedAt: clock.wallNow(),
  });
  const registry = await lifecycle.start(
    'registry',
    () =>
      new LocalRegistry<Custom>({
        self: id,
        zone: options.zone,
        hlc,
        rng,
        schema: options.metadata,
        maxAgents: options.registry.maxAgentsPerNode,
        names: () => coordination.registryNames,
        pendingCalls: (agent) => messaging.pendingCalls(agent),
        onListenerError: onError,
      }),
    (started) => started.stop(),
  );
  const messaging: LocalMessaging = await lifecycle.start(
    'messaging',
    () =>
      new LocalMessaging({
        self: id,
        registry: registry as unknown as ConstructorParameters<typeof LocalMessaging>[0]['registry'],
        handlers: registry.handlers,
        clock,
        rng,
        limits: messagingLimits(options.calls),
        onError,
      }),
    drainAndStop,
  );
  const coordination: LocalCoordination = await lifecycle.start(
    'coordination',
    () =>
      localCoordination(assembly, identity, (agent) => {
        const record = registry.lookup(agent);
        return record === undefined ? undefined : { node: record.node, zone: record.zone };
      }),
    async (started) => {
      await started.stop();
      started.ordering.stop();
    },
  );
  const variables = await lifecycle.start(
    'variables',
    () =>
      variablesOver(assembly, {
        self: id,
        entries: new LocalEntries({ self: id, zone: options.zone, onError }),
        hlc,
        registry: registry as unknown as Registry<unknown>,
        messaging,
        coordination: coordination.coordination,
      }),
    (started) => started.stop(),
  );
  const infrastructure = await lifecycle.start(
    'infrastructure',
    () =>
      infrastructureOver(assembly, {
        entries: new LocalEntries({ self: id, zone: options.zone, onError }),
        registry: registry as unknown as Registry,
        membership,
        messaging,
        variables: variables.variables,
        quotas: coordination.quotas,
        onCoordinationLatency: (listener) => coordination.latency.onLatency(listener),
        replicationLag: undefined,
      }),
    (started) => started.stop(),
  );
  await keepCapacityFresh(assembly, membership);
  return {
    id,
    registry,
    messaging,
    membership,
    coordination: coordination.coordination,
    variables: variables.variables,
    infrastructure,
    addresses: () => [],
    peers: () => [],
    feeds: () => [],
    lag: () => ({ eventLoopMs: 0, feedsBehind: 0 }),
    traffic: () => ({ bytesSent: 0, bytesReceived: 0 }),
    refused: () => ({}),
    pendingCalls: () => 0,
  };
}
