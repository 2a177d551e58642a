/** The conformance suite of messaging between two nodes on real libp2p over loopback, with TLS. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRng } from '../../src/clock.ts';
import { type MessagingSubject, messagingConformance } from '../../src/conformance/messaging.ts';
import { createIdentity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import { Libp2pNetwork } from '../../src/p2p/libp2p/network.ts';
import { ClusterMessaging } from '../../src/protocols/messaging/cluster.ts';
import type { AgentHandler } from '../../src/protocols/messaging/messaging.ts';
import type { AgentRecord } from '../../src/protocols/registry/records.ts';
import { makeRecord } from '../protocols/messaging/harness.ts';

const records = new Map<string, AgentRecord>();

class Node {
  readonly handlers = new Map<string, AgentHandler>();
  readonly gone = new Set<(id: string) => void>();
  readonly errors: unknown[] = [];
  readonly network: Libp2pNetwork;
  readonly messaging: ClusterMessaging;

  constructor() {
    const identity = createIdentity();
    this.network = new Libp2pNetwork({
      identity,
      meshName: 'messaging-test',
      version: '0.0.0',
      epoch: 1,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      onError: (error) => this.errors.push(error),
    });
    this.messaging = new ClusterMessaging({
      self: identity.id,
      registry: {
        lookup: (id) => records.get(id),
        resolve: (target) =>
          [...records.values()].find(({ capabilities }) =>
            capabilities.includes(String((target as { capabilities?: string }).capabilities)),
          ),
      },
      handlers: {
        get: (id) => this.handlers.get(id),
        onGone: (listener) => {
          this.gone.add(listener);
          return () => void this.gone.delete(listener);
        },
      },
      clock: realClock,
      rng: realRng,
      onError: (error) => this.errors.push(error),
      network: this.network,
      membership: {
        get: (id) => ({ id, state: 'alive' }) as never,
        on: () => () => undefined,
        heardFrom: () => undefined,
      },
      ensureConnected: async () => undefined,
    });
  }

  register(id: string, handler: AgentHandler, metadata: Partial<AgentRecord>): () => void {
    this.handlers.set(id, handler);
    records.set(id, makeRecord(id, this.network.self, metadata));
    return () => {
      this.handlers.delete(id);
      records.delete(id);
      for (const listener of this.gone) listener(id);
    };
  }
}

let caller: Node;
let callee: Node;

beforeAll(async () => {
  caller = new Node();
  callee = new Node();
  await Promise.all([caller.network.start(), callee.network.start()]);
  const [address] = callee.network.addresses();
  await caller.network.connect(address as string, { timeoutMs: 20_000 });
});

afterAll(async () => {
  caller.messaging.stop();
  callee.messaging.stop();
  await Promise.all([caller.network.stop(), callee.network.stop()]);
});

async function create(): Promise<MessagingSubject> {
  const registered: (() => void)[] = [];
  return {
    messaging: caller.messaging,
    callerNode: caller.network.self as NodeId,
    register: async (id, handler, { maxConcurrent, mailbox, capabilities = [] } = {}) => {
      const unregister = callee.register(id, handler, { capabilities });
      registered.push(unregister);
      callee.messaging.setAgentLimits(id, {
        ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
        ...(mailbox === undefined ? {} : { mailbox }),
      });
      return async () => unregister();
    },
    stop: async () => {
      for (const unregister of registered) unregister();
    },
  };
}

messagingConformance({ test, create });

test('nothing is left over when all cases are done', async () => {
  const status = caller.messaging.status();
  expect([status.pending, status.queuedBytes, status.malformed]).toEqual([0, 0, 0]);
  expect(callee.messaging.status().malformed).toBe(0);
  expect(caller.errors).toEqual([]);
  // One case unregisters an agent while a cast waits for it: nobody else can be told.
  expect(callee.errors).toMatchObject([{ code: 'REJECTED', data: { agent: 'leaving', reason: 'agent-gone' } }]);
});

test('a connection that is reset fails its calls, and once there is another one calls are answered again', async () => {
  const began = Promise.withResolvers<void>();
  const unregister = callee.register(
    'held',
    (message: unknown) => {
      if (message !== 'wait') return 'answered';
      began.resolve();
      return new Promise(() => undefined);
    },
    {},
  );
  const lost = caller.messaging.call('held', 'wait', { timeoutMs: 60_000 });
  const failed = expect(lost).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME', data: { reason: 'connection-lost' } });
  await began.promise;
  await caller.network.disconnect(callee.network.self);
  await failed;
  await expect(caller.messaging.call('held', 'now')).rejects.toMatchObject({ code: 'NOT_DELIVERED' });
  await caller.network.connect(callee.network.addresses()[0] as string, { timeoutMs: 20_000 });
  expect(await caller.messaging.call('held', 'now')).toBe('answered');
  unregister();
});
