/** A mesh of one process: the same registry and messaging cores, with nobody else to hear of. */
import { HybridClock } from '../hlc.ts';
import { createIdentity } from '../identity.ts';
import { LocalMembership } from '../protocols/membership/local-membership.ts';
import { LocalMessaging } from '../protocols/messaging/local.ts';
import { LocalRegistry } from '../protocols/registry/local-registry.ts';
import { type LocalCoordination, localCoordination } from './coordination.ts';
import { type Assembly, drainAndStop, type MeshParts, messagingLimits } from './parts.ts';

export async function assembleLocal<Custom>(assembly: Assembly<Custom>): Promise<MeshParts<Custom>> {
  const { options, clock, rng, lifecycle, onError } = assembly;
  const identity = createIdentity();
  const { id } = identity;
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
        hlc: new HybridClock(() => clock.wallNow()),
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
  return {
    id,
    registry,
    messaging,
    membership,
    coordination: coordination.coordination,
    addresses: () => [],
    peers: () => [],
    feeds: () => [],
    lag: () => ({ eventLoopMs: 0, feedsBehind: 0 }),
    traffic: () => ({ bytesSent: 0, bytesReceived: 0 }),
    refused: () => ({}),
    pendingCalls: () => 0,
  };
}
