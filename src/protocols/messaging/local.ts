/** Messaging within one process: the cluster's core without a network. */
import type { QuorateError } from '../../errors.ts';
import { BaseMessaging, type Located } from './base.ts';
import { rejected } from './outcome.ts';
import type { Outgoing } from './outgoing.ts';

export class LocalMessaging extends BaseMessaging {
  protected override callRemote(
    _record: Located,
    outgoing: Outgoing,
    _resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ): void {
    reject(rejected(outgoing.agent, 'no-such-agent'));
  }

  protected override castRemote(_record: Located, outgoing: Outgoing): Promise<void> {
    return Promise.reject(rejected(outgoing.agent, 'no-such-agent'));
  }

  protected override streamRemote<Item>(_record: Located, outgoing: Outgoing): AsyncIterator<Item> {
    throw rejected(outgoing.agent, 'no-such-agent');
  }
}
