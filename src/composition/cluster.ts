/**
 * A member of a mesh: identity and data directory, network, feeds, replication, membership, registry, messaging; started in
 * that order and stopped in reverse, so that a leaving node ends its calls before it says goodbye, and says goodbye
 * before it hangs up.
 */
import type { FeedStore } from '../crdt/feed-store.ts';
import { FeedStore as SignedFeeds } from '../crdt/feed-store.ts';
import { QuorateError } from '../errors.ts';
import { HybridClock } from '../hlc.ts';
import { createIdentity, type Identity } from '../identity.ts';
import type { NodeId } from '../node-id.ts';
import { lockDataDir } from '../p2p/data-dir.ts';
import { loadOrCreateIdentity, nextEpoch } from '../p2p/key-file.ts';
import { Libp2pNetwork } from '../p2p/libp2p/network.ts';
import { misbehaviourBanMs, Reputation } from '../p2p/reputation.ts';
import { MeshMembership } from '../protocols/membership/mesh-membership.ts';
import { ClusterMessaging, type RegistryHeads } from '../protocols/messaging/cluster.ts';
import { ClusterRegistry } from '../protocols/registry/cluster-registry.ts';
import type { Registry } from '../protocols/registry/registry.ts';
import { Replication } from '../protocols/replication/replication.ts';
import { FeedEntries } from '../protocols/sharing/feed-entries.ts';
import { type ClusterCoordination, clusterCoordination } from './coordination.ts';
import { Departures } from './departures.ts';
import { infrastructureOver, keepCapacityFresh } from './infrastructure.ts';
import { type Assembly, drainAndStop, type MeshParts, messagingLimits } from './parts.ts';
import { feedStatus, peerStatus, RefusalCounts } from './status.ts';
import { variablesOver } from './variables.ts';

export async function assembleCluster<Custom>(assembly: Assembly<Custom>): Promise<MeshParts<Custom>> {
  const { options, clock, rng, lifecycle, onError } = assembly;
  const { identity, epoch } = await openIdentity(assembly);
  const self = identity.id;
  const refusals = new RefusalCounts();
  const network = new Libp2pNetwork({
    identity,
    meshName: options.name,
    version: assembly.version,
    epoch,
    listen: options.listen,
    announce: options.announce,
    ...(options.networkKey === undefined ? {} : { networkKey: options.networkKey }),
    ...(options.allow === undefined ? {} : { allow: options.allow }),
    clock,
    rng,
    onError,
  });
  const reputation = new Reputation(clock);
  const onMisbehaviour = (peer: NodeId, reason: string): void => {
    refusals.add(reason);
    assembly.events.emit('refused', { peer, reason });
    if (reputation.rejected(peer)) network.ban(peer, misbehaviourBanMs, reason);
  };
  network.on('refused', ({ peer, reason, violation }) => {
    if (violation === true && peer !== undefined) {
      onMisbehaviour(peer, reason);
      return;
    }
    refusals.add(reason);
    assembly.events.emit('refused', { peer, reason });
  });
  const allowed = options.allow === undefined ? undefined : new Set<NodeId>([...options.allow, self]);
  const store = new SignedFeeds({
    mesh: options.name,
    identity,
    epoch,
    ...(allowed === undefined ? {} : { allowed: (author: NodeId) => allowed.has(author) }),
    limits: { maxAuthors: options.registry.maxNodes },
    onListenerError: onError,
  });
  store.on('quarantined', ({ author, reason }) => {
    assembly.events.emit('quarantined', { node: author, reason });
    // A proof is final, so there is no way back for that key while this node runs.
    network.ban(author, Number.POSITIVE_INFINITY, `quarantined, ${reason}`);
  });
  store.on('ownFeedConflict', () => {
    const { message } = sharedIdentity(self);
    refusals.add('an entry signed with the key of this node, by another process');
    options.logger.error(message, { node: self });
    assembly.events.emit('refused', { peer: self, reason: message });
  });

  const replication = new Replication({
    meshName: options.name,
    store,
    network,
    clock,
    rng,
    log: (level, message, data) => options.logger[level](message, data),
  });
  const membership = makeMembership(assembly, { store, network, replication, onMisbehaviour });
  const hlc = new HybridClock(() => clock.wallNow());
  const registry: ClusterRegistry<Custom> = new ClusterRegistry<Custom>({
    self,
    zone: options.zone,
    hlc,
    rng,
    clock,
    feeds: store,
    membership,
    flush: () => replication.flush(),
    names: () => coordination.registryNames,
    schema: options.metadata,
    maxAgents: options.registry.maxAgentsPerNode,
    pendingCalls: (agent) => messaging.pendingCalls(agent),
    onListenerError: onError,
  });
  // Made before the network starts, so that they see every change from the first.
  const counterEntries = new FeedEntries({ store: 'counters', feeds: store, membership, clock, onError });
  const variableEntries = new FeedEntries({ store: 'variables', feeds: store, membership, clock, onError });
  const messaging: ClusterMessaging = new ClusterMessaging({
    self,
    registry: registry as unknown as ConstructorParameters<typeof ClusterMessaging>[0]['registry'],
    handlers: registry.handlers,
    network,
    membership,
    ensureConnected: (peer, signal) => membership.ensureConnected(peer, signal),
    heads: registryHeads(store, replication),
    clock,
    rng,
    limits: messagingLimits(options.calls),
    onError,
    onMisbehaviour: (peer, reason) => onMisbehaviour(peer, `messaging: ${reason}`),
  });

  const coordination: ClusterCoordination = clusterCoordination(assembly, {
    identity,
    network,
    membership,
    locate: (agent) => {
      const record = registry.lookup(agent);
      return record === undefined ? undefined : { node: record.node, zone: record.zone };
    },
    onMisbehaviour,
    onKnown: () => registry.judgeAgain(),
  });

  await lifecycle.start(
    'network',
    () => network.start(),
    () => network.stop(),
  );
  await lifecycle.start(
    'replication',
    () => replication.start(),
    () => replication.stop(),
  );
  // Before the start of membership, which may know of departures at once.
  const departures = new Departures(membership, clock, store);
  await lifecycle.start(
    'membership',
    () => membership.start(),
    async () => {
      await membership.leave();
      membership.stop();
    },
  );
  await lifecycle.start(
    'registry',
    () => registry,
    async () => {
      departures.stop();
      await registry.stop();
    },
  );
  await lifecycle.start('messaging', () => messaging, drainAndStop);
  await join(assembly, membership);
  await lifecycle.start(
    'coordination',
    () => coordination.ordering.start(),
    async () => {
      await coordination.stop();
      await coordination.ordering.stop();
    },
  );
  const variables = await lifecycle.start(
    'variables',
    () =>
      variablesOver(assembly, {
        self,
        entries: variableEntries,
        hlc,
        registry: registry as unknown as Registry<unknown>,
        messaging,
        coordination: coordination.coordination,
      }),
    (started) => {
      started.stop();
      variableEntries.stop();
    },
  );
  const infrastructure = await lifecycle.start(
    'infrastructure',
    () =>
      infrastructureOver(assembly, {
        entries: counterEntries,
        registry: registry as unknown as Registry,
        membership,
        messaging,
        variables: variables.variables,
        quotas: coordination.quotas,
        onCoordinationLatency: (listener) => coordination.latency.onLatency(listener),
        replicationLag: () => replication.lag().differingPeers,
      }),
    (started) => {
      started.stop();
      counterEntries.stop();
    },
  );

  await keepCapacityFresh(assembly, membership);
  return {
    id: self,
    registry,
    messaging,
    membership,
    coordination: coordination.coordination,
    variables: variables.variables,
    infrastructure,
    addresses: () => network.addresses(),
    peers: () => network.peers().map((peer) => peerStatus(peer, membership.get(peer))),
    feeds: () => feedStatus(store),
    lag: () => ({ eventLoopMs: membership.diagnostics().lagMs, feedsBehind: replication.lag().differingPeers }),
    traffic: () => ({ ...network.counters }),
    refused: () => ({
      ...refusals.all(),
      ...Object.fromEntries([...store.counters].filter(([outcome]) => !ordinaryOutcomes.has(outcome))),
      ...Object.fromEntries(coordination.ordering.refused),
      'registry: malformed entry': registry.refused.malformed,
      'variables: too many changes, looked at later': variableEntries.deferred,
      'infrastructure: too many changes, looked at later': counterEntries.deferred,
      'infrastructure: malformed entry': infrastructure.malformed,
      'replication: violation': replication.counters.violations,
      'replication: too many exchanges': replication.counters.exchangesRefused,
    }),
    pendingCalls: () => messaging.status().pending,
  };
}

/** What becomes of honest envelopes every day; everything else counted by the feeds is a refusal. */
const ordinaryOutcomes: ReadonlySet<string> = new Set(['applied', 'duplicate', 'stale', 'gap']);

/** The key and epoch of this start: from the data directory, locked first; or fresh ones. */
async function openIdentity<Custom>(
  assembly: Assembly<Custom>,
): Promise<{ readonly identity: Identity; readonly epoch: number }> {
  const { dataDir } = assembly.options;
  // A fresh identity has no earlier start; the wall clock is as good an epoch as any, and people can read it.
  if (dataDir === undefined) return { identity: createIdentity(), epoch: assembly.clock.wallNow() };
  await assembly.lifecycle.start(
    'data directory',
    () => lockDataDir(dataDir),
    (lock) => lock.release(),
  );
  return { identity: await loadOrCreateIdentity(dataDir), epoch: await nextEpoch(dataDir) };
}

function makeMembership<Custom>(
  { options, version, clock, rng, events, fail }: Assembly<Custom>,
  parts: {
    readonly store: FeedStore;
    readonly network: Libp2pNetwork;
    readonly replication: Replication;
    readonly onMisbehaviour: (peer: NodeId, reason: string) => void;
  },
): MeshMembership {
  const { store, network, replication, onMisbehaviour } = parts;
  const membership = new MeshMembership(
    { feeds: store, network, clock, rng },
    {
      bootstrap: options.bootstrap,
      zone: options.zone,
      roles: options.roles,
      capacity: options.capacity,
      version,
      logger: options.logger,
      liars: options.membership.liars,
      removeAfterMs: options.membership.removeAfterMs,
      maxMembers: options.registry.maxNodes,
      digest: () => replication.digest(),
      onPeerDigest: (peer, digest) => replication.onPeerDigest(peer, digest),
      synced: (peer) => replication.exchanged(peer),
      flush: () => replication.flush(),
      onMisbehaviour: (peer, reason) => onMisbehaviour(peer, `membership: ${reason}`),
    },
  );
  membership.on('change', (change) => events.emit('member', change));
  membership.on('joinFailed', ({ address, error, final }) => {
    options.logger.warn(`Cannot join by ${address}: ${error.message}`, { code: error.code });
    events.emit('joinFailed', { address, error });
    // Only before the first join: no peer can talk a member out of its mesh.
    if (final) fail(error);
  });
  return membership;
}

/**
 * Waits for the first bootstrap peer, but no longer than `joinTimeoutMs`. When every address has refused this node for a
 * reason that waiting does not mend, that reason is thrown.
 */
async function join<Custom>(
  { options, lifecycle, events }: Assembly<Custom>,
  membership: MeshMembership,
): Promise<void> {
  const { bootstrap } = options;
  if (bootstrap.length === 0) return;
  let refusal: QuorateError | undefined;
  // Addresses of its own among them say nothing either way.
  const isRefusedByAll = (): boolean =>
    refusal !== undefined &&
    membership.diagnostics().bootstrap.every(({ error }) => error !== undefined && error.code !== 'PEER_UNREACHABLE');
  const given = new AbortController();
  const timer = setTimeout(() => given.abort(), options.membership.joinTimeoutMs);
  const unsubscribe = events.on('joinFailed', ({ error }) => {
    if (error.code === 'PEER_UNREACHABLE') return;
    refusal ??= error;
    if (isRefusedByAll()) given.abort();
  });
  try {
    await membership.whenJoined(given.signal);
  } catch (error) {
    const final = isRefusedByAll() ? refusal : given.signal.aborted ? undefined : error;
    if (final === undefined) return; // Out of time: it goes on alone, and keeps trying.
    await lifecycle.stop();
    throw final;
  } finally {
    clearTimeout(timer);
    unsubscribe();
  }
}

function registryHeads(store: FeedStore, replication: Replication): RegistryHeads {
  return {
    flush: () => replication.flushNow(),
    head: () => store.head(store.self, 'registry'),
    reached: (node, head, signal) =>
      replication.has(node, 'registry', head) ? undefined : replication.waitFor(node, 'registry', head, signal),
  };
}

function sharedIdentity(self: NodeId): QuorateError {
  return new QuorateError(
    'IDENTITY_IN_USE',
    `Another process uses the identity of this node, ${self}: an entry signed with its key arrived that it has not written. Stop the other process, or give it a data directory of its own; if you know of none, the key was stolen.`,
    { node: self },
  );
}
