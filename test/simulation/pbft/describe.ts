/** One line for a message or an event, for traces. */
import type { ReplicaEvent } from '../../../src/protocols/pbft/effects.ts';
import type { Message } from '../../../src/protocols/pbft/messages.ts';

export function describe(what: Message | ReplicaEvent): string {
  const shown = Object.entries(what).flatMap(([key, value]) => {
    if (key === 'type' || key === 'kind') return [String(value)];
    if (typeof value === 'number' || typeof value === 'boolean') return [`${key}=${value}`];
    if (key === 'digest') return [String(value).slice(0, 6)];
    if (key === 'slots') return [`slots=${(value as number[]).join('')}`];
    if (key === 'checkpoint') return [`checkpoint=${(value as { head: { seq: number } }).head.seq}`];
    if (key === 'proposals' || key === 'prepared') {
      return [
        `${key}=${(value as { seq: number; digest: string }[]).map((one) => `${one.seq}:${one.digest.slice(0, 4)}`).join(',')}`,
      ];
    }
    return [];
  });
  return shown.join(' ');
}
