/** How grants say no. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { Answer } from '../machine/reducer.ts';

type Refusal = Extract<Answer, { ok: false }>;

/** Why a grant is over: released by its holder, its lease ran out, the log says otherwise, or the mesh stopped. */
export type LossReason = 'released' | 'lease-ended' | 'expired' | 'withdrawn' | 'waiting' | 'unknown' | 'stopped';

const lossTexts: Readonly<Record<LossReason, string>> = {
  released: 'it was released',
  'lease-ended': 'its lease ended before it could be renewed, perhaps while this process stood still',
  expired: 'its lease ran out in agreed time',
  withdrawn: 'it was withdrawn',
  waiting: 'it was granted anew since',
  unknown: 'the validators know nothing of it any more',
  stopped: 'the mesh has stopped, so that it cannot be renewed',
};

export const isLossReason = (reason: unknown): reason is LossReason =>
  typeof reason === 'string' && Object.hasOwn(lossTexts, reason);

export function grantLost(name: string, token: number, reason: LossReason): QuorateError {
  return new QuorateError(
    'GRANT_LOST',
    `'${name}' (token ${token}) is not held any more: ${lossTexts[reason]}. Stop what it protected, and acquire anew.`,
    { name, token, reason },
  );
}

export interface KnownHolder {
  readonly node: string;
  readonly token: number;
}

export function timedOut(name: string, afterMs: number, holder: KnownHolder | undefined): QuorateError {
  const held = holder === undefined ? '' : ` It is held by ${holder.node} (token ${holder.token}).`;
  const text = afterMs === 0 ? 'is not free now' : `was not granted within ${afterMs} ms`;
  return new QuorateError(
    'TIMED_OUT',
    `'${name}' ${text}, and will not be any more.${held} Wait longer, or look who holds it with inspect().`,
    { name, afterMs, ...(holder === undefined ? {} : { holder: holder.node, token: holder.token }) },
  );
}

/** A refusal as what the caller gets. */
export function refusalError(name: string, { code, data }: Refusal): QuorateError {
  if (code === 'TIMED_OUT') return timedOut(name, 0, parsedHolder(data['holder']));
  if (code === 'ALREADY_EXISTS') {
    const { sort, permits, askedSort, asked } = data;
    return new QuorateError(
      code,
      `'${name}' is a ${String(sort)} with ${String(permits)} permits, and was asked for as a ${String(askedSort)} with ${String(asked)}. Use another name, or say the same everywhere.`,
      { name, sort, permits, askedSort, asked },
    );
  }
  if (code === 'LIMIT_EXCEEDED') {
    const { limit, of } = data;
    return new QuorateError(
      code,
      `'${name}' was not asked for: ${of === 'node' ? 'this node' : 'the group'} holds or waits for ${String(limit)} things already. Release some.`,
      { name, limit, of },
    );
  }
  return new QuorateError(code, `'${name}' was refused: ${String(data['reason'] ?? code)}.`, { name, ...data });
}

const holderSchema = v.strictObject({ node: v.string(), token: v.number() });

function parsedHolder(holder: Value): KnownHolder | undefined {
  const parsed = v.safeParse(holderSchema, holder);
  return parsed.success ? parsed.output : undefined;
}

/** The validators agreed on this answer, so it is of another version rather than a lie. */
export function understood<T>(schema: v.GenericSchema<unknown, T>, value: Value): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
}
