/** The conformance suite of messaging, on one process and between two nodes. */
import { describe, test } from 'vitest';
import { type MessagingSubject, messagingConformance } from '../../src/conformance/messaging.ts';
import { MemoryCluster } from '../protocols/messaging/harness.ts';

async function subject(local: boolean): Promise<MessagingSubject> {
  const cluster = new MemoryCluster();
  const caller = cluster.node('caller', { local });
  const callee = local ? caller : cluster.node('callee');
  return {
    messaging: caller.messaging,
    callerNode: caller.self,
    register: async (id, handler, { maxConcurrent, mailbox, capabilities = [] } = {}) => {
      const unregister = callee.register(id, handler, { capabilities });
      callee.messaging.setAgentLimits(id, {
        ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
        ...(mailbox === undefined ? {} : { mailbox }),
      });
      return async () => unregister();
    },
    stop: async () => cluster.stop(),
  };
}

describe('LocalMessaging', () => messagingConformance({ test, create: () => subject(true) }));
describe('ClusterMessaging between two nodes', () => messagingConformance({ test, create: () => subject(false) }));
