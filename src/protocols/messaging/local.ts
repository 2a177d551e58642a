/** Messaging within one process: the cluster's core without a network. */
import type { QuorateError } from '../../errors.ts';
import type { AgentRecord } from '../registry/records.ts';
import { BaseMessaging } from './base.ts';
import { rejected } from './outcome.ts';
import type { Outgoing } from './outgoing.ts';

export class LocalMessaging extends BaseMessaging {
  protected override callRemote(
    _record: AgentRecord,
    outgoing: Outgoing,
    _resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ): void {
    reject(rejected(outgoing.agent, 'no-such-agent'));
  }

  protected override castRemote(_record: AgentRecord, outgoing: Outgoing): Promise<void> {
    return Promise.reject(rejected(outgoing.agent, 'no-such-agent'));
  }

  protected override streamRemote<Item>(_record: AgentRecord, outgoing: Outgoing): AsyncIterator<Item> {
    throw rejected(outgoing.agent, 'no-such-agent');
  }
}
