/**
 * What each outcome of a call promises, held against a seeded network with crashes, pauses, partitions and agents
 * that come, go and move: a reply means the handler ran; `NOT_DELIVERED` and `REJECTED` mean it did not; without
 * a key no handler runs twice for one call, with a key not twice on one node. And every call ends.
 */
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import { Emitter } from '../../../src/emitter.ts';
import { QuorateError } from '../../../src/errors.ts';
import { createIdentity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { SimulatedNetwork } from '../../../src/p2p/simulated/network.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import type { MembershipEvents } from '../../../src/protocols/membership/membership.ts';
import { ClusterMessaging, type ClusterMessagingStatus } from '../../../src/protocols/messaging/cluster.ts';
import type { AgentHandler, CallContext } from '../../../src/protocols/messaging/messaging.ts';
import { makeRecord } from '../../protocols/messaging/harness.ts';
import { seeds } from '../seeds.ts';

const nodeCount = 4;
const agents = ['alpha', 'beta', 'gamma'];

class SimulatedNode {
  readonly network: SimulatedNetwork;
  readonly messaging: ClusterMessaging;
  readonly handlers = new Map<string, AgentHandler>();
  /** Where this node believes each agent to be; catches up late. */
  readonly beliefs = new Map<string, NodeId>();
  readonly errors: unknown[] = [];
  readonly #gone = new Set<(id: string) => void>();
  readonly #events = new Emitter<MembershipEvents>((error) => this.errors.push(error));
  crashed = false;

  constructor(world: SimulatedWorld, seed: number, addresses: Map<NodeId, () => readonly string[]>) {
    const identity = createIdentity(seededRng(seed).bytes(32));
    this.network = world.network(identity, {});
    addresses.set(this.network.self, () => this.network.addresses());
    this.messaging = new ClusterMessaging({
      self: identity.id,
      registry: {
        lookup: (id) => {
          const node = this.beliefs.get(id);
          return node === undefined ? undefined : makeRecord(id, node);
        },
        resolve: () => undefined,
      },
      handlers: {
        get: (id) => this.handlers.get(id),
        onGone: (listener) => {
          this.#gone.add(listener);
          return () => void this.#gone.delete(listener);
        },
      },
      clock: this.network.clock,
      rng: this.network.rng,
      onError: (error) => this.errors.push(error),
      network: this.network,
      membership: {
        get: (id) => (addresses.has(id) ? ({ id, state: 'alive' } as never) : undefined),
        on: (type, listener) => this.#events.on(type, listener),
        heardFrom: () => undefined,
      },
      ensureConnected: async (peer, signal) => {
        if (this.network.isConnected(peer)) return;
        const [address] = addresses.get(peer)?.() ?? [];
        if (address === undefined) throw new QuorateError('PEER_UNREACHABLE', 'It has no address.');
        await this.network.connect(address, { signal, timeoutMs: 2_000 });
      },
    });
  }

  leave(agent: string): void {
    if (!this.handlers.delete(agent)) return;
    for (const listener of this.#gone) listener(agent);
  }

  judge(id: NodeId): void {
    this.#events.emit('change', { member: { id, state: 'unreachable' } as never, previous: 'alive' });
  }
}

interface Outcome {
  readonly call: number;
  readonly keyed: boolean;
  readonly code: string;
}

async function run(seed: number): Promise<void> {
  const world = new SimulatedWorld({ seed, partitionBreaksMs: 3_000 });
  const rng = seededRng(seed);
  const addresses = new Map<NodeId, () => readonly string[]>();
  const nodes = Array.from(
    { length: nodeCount },
    (_, index) => new SimulatedNode(world, seed * 100 + index, addresses),
  );
  await Promise.all(nodes.map((node) => node.network.start()));
  /** Call number → the node of each run of its handler. */
  const runs = new Map<number, NodeId[]>();
  const place = (agent: string, node: SimulatedNode): void => {
    for (const each of nodes) each.leave(agent);
    node.handlers.set(agent, async (call: number, context: CallContext) => {
      runs.set(call, [...(runs.get(call) ?? []), node.network.self]);
      const forMs = [0, 0, 5, 50, 3_000][call % 5] as number;
      if (forMs > 0) {
        await new Promise<void>((resolve) => {
          node.network.clock.after(forMs, resolve);
          if (call % 2 === 0) context.signal.addEventListener('abort', () => resolve());
        });
      }
      if (call % 11 === 0) throw new RangeError('as agreed');
      return call;
    });
    for (const each of nodes) {
      const lateMs = rng.float() < 0.5 ? 0 : rng.below(500);
      world.clock.after(lateMs, () => each.beliefs.set(agent, node.network.self));
    }
  };
  for (const agent of agents) place(agent, nodes[rng.below(nodeCount)] as SimulatedNode);

  const outcomes: Outcome[] = [];
  let calls = 0;
  const call = (from: SimulatedNode): void => {
    const number = ++calls;
    const keyed = rng.float() < 0.3;
    const options = {
      timeoutMs: 200 + rng.below(4_000),
      ...(keyed ? { idempotencyKey: `call-${number}`, retries: 2 } : {}),
      ...(rng.float() < 0.1 ? { signal: abortAfter(world, rng.below(500)) } : {}),
    };
    from.messaging.call(agents[rng.below(agents.length)] as string, number, options).then(
      (reply) => {
        expect(reply).toBe(number);
        outcomes.push({ call: number, keyed, code: 'reply' });
      },
      (error: unknown) => {
        if (!(error instanceof QuorateError)) throw error;
        outcomes.push({ call: number, keyed, code: error.code });
      },
    );
  };

  // The first node makes the calls and stays well; the others suffer.
  const [caller, ...others] = nodes as [SimulatedNode, ...SimulatedNode[]];
  for (let step = 0; step < 60; step++) {
    for (let burst = rng.below(8); burst > 0; burst--) call(caller);
    const victim = others[rng.below(others.length)] as SimulatedNode;
    switch (rng.below(12)) {
      case 0:
        place(
          agents[rng.below(agents.length)] as string,
          nodes.filter((node) => !node.crashed)[rng.below(2)] as SimulatedNode,
        );
        break;
      case 1:
        world.pause(victim.network);
        world.clock.after(rng.below(3_000), () => world.resume(victim.network));
        break;
      case 2:
        world.clock.after(rng.below(2_000), world.partition([victim.network]));
        break;
      case 3:
        if (step > 40 && !victim.crashed) {
          victim.crashed = true;
          world.crash(victim.network);
        }
        break;
      case 4:
        caller.judge(victim.network.self);
        break;
      case 5:
        void caller.network.disconnect(victim.network.self);
        break;
      default:
    }
    await world.run(rng.below(200));
  }
  world.heal();
  await world.until(() => outcomes.length === calls, 60_000);

  for (const { call: number, keyed, code } of outcomes) {
    const where = runs.get(number) ?? [];
    const told = `seed ${seed}, call ${number}: ${code} after runs at ${where.length} nodes`;
    if (code === 'reply' || code === 'HANDLER_FAILED') expect(where.length, told).toBeGreaterThan(0);
    else if (code !== 'UNKNOWN_OUTCOME') expect(where.length, told).toBe(0);
    if (!keyed) expect(where.length, told).toBeLessThanOrEqual(1);
    expect(new Set(where).size, told).toBe(where.length);
  }
  const status: ClusterMessagingStatus = caller.messaging.status();
  expect(status.pending).toBe(0);
  expect(status.queuedBytes).toBe(0);
  expect(status.malformed).toBe(0);
  for (const agent of agents) expect(caller.messaging.pendingCalls(agent)).toBe(0);
  expect(nodes.flatMap((node) => node.errors)).toEqual([]);
  expect(outcomes.filter(({ code }) => code === 'reply').length).toBeGreaterThan(0);
  for (const node of nodes) {
    node.messaging.stop();
    if (!node.crashed) void node.network.stop();
  }
  await world.run(10_000);
}

function abortAfter(world: SimulatedWorld, ms: number): AbortSignal {
  const controller = new AbortController();
  world.clock.after(ms, () => controller.abort());
  return controller.signal;
}

describe('outcomes under faults', () => {
  test.each(seeds(25))('seed %i', (seed) => run(seed));
});
