/** What callers give, checked once and told about all at once. */
import { QuorateError } from '../../../errors.ts';
import { maxNameLength } from '../machine/limits.ts';
import { maxLeaderValueBytes, maxLeaseMs, maxPermits, minLeaseMs } from './commands.ts';

type Fields = Record<string, string>;

/** Throws `INVALID_ARGUMENT` with `data.fields`. `options` as they came: of JavaScript, perhaps. */
export function checkArguments(name: unknown, options: Readonly<Record<string, unknown>>, isSemaphore = false): void {
  const fields: Fields = {};
  if (typeof name !== 'string' || name.length === 0 || name.length > maxNameLength) {
    fields['name'] = `must be a text of 1 to ${maxNameLength} characters`;
  }
  const { leaseMs, timeoutMs, signal, wait, permits, count } = options;
  if (leaseMs !== undefined) checkWhole(fields, 'leaseMs', leaseMs, minLeaseMs, maxLeaseMs);
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && Number.isFinite(timeoutMs) && timeoutMs > 0)) {
    fields['timeoutMs'] = 'must be a number above 0; to ask without waiting: wait: false';
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) fields['signal'] = 'must be an AbortSignal';
  if (wait !== undefined && typeof wait !== 'boolean') fields['wait'] = 'must be true or false';
  if (isSemaphore) {
    checkWhole(fields, 'permits', permits, 1, maxPermits);
    const most = typeof permits === 'number' && permits >= 1 ? Math.min(permits, maxPermits) : maxPermits;
    if (count !== undefined) checkWhole(fields, 'count', count, 1, most);
  }
  const wrong = Object.entries(fields);
  if (wrong.length === 0) return;
  const text = wrong.map(([field, why]) => `${field} ${why}`).join('; ');
  throw new QuorateError('INVALID_ARGUMENT', `Nothing was asked for: ${text}.`, { fields });
}

/** Throws `PAYLOAD_TOO_LARGE`. */
export function checkLeaderValue({ length: bytes }: Uint8Array): void {
  if (bytes <= maxLeaderValueBytes) return;
  throw new QuorateError(
    'PAYLOAD_TOO_LARGE',
    `What a leader says of itself has ${maxLeaderValueBytes} bytes at most; this has ${bytes}. Say where the rest can be found.`,
    { bytes, limit: maxLeaderValueBytes },
  );
}

function checkWhole(fields: Fields, field: string, value: unknown, least: number, most: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return;
  fields[field] = `must be a whole number from ${least} to ${most}`;
}
