/** What a client is told about a request; the bytes of a reply's `result`. */
import { Reader, Writer } from './wire.ts';

export type CommandResult =
  | { readonly ok: true; readonly value: Uint8Array }
  /** The application threw, or its result was larger than the group allows. */
  | { readonly ok: false; readonly reason: 'failed' | 'too-large' };

export type Outcome =
  | { readonly kind: 'done'; readonly results: readonly CommandResult[] }
  | { readonly kind: 'opened'; readonly session: number }
  /** The session was forgotten or replaced; whether the request ran before that is unknown. */
  | { readonly kind: 'no-session' }
  /** Executed before and acknowledged by the client, so the reply is gone. */
  | { readonly kind: 'acknowledged' }
  /** Executed before; the reply was dropped because the client's cached replies grew too large. */
  | { readonly kind: 'forgotten' }
  /** Too many unacknowledged requests; not executed. */
  | { readonly kind: 'beyond-window' }
  /** A vote for other validators was counted; `effective` is the sequence it takes effect after, 0 if undecided. */
  | { readonly kind: 'voted'; readonly effective: number }
  /** The vote was not counted: not a validator, unsound validators, or another change under way. */
  | { readonly kind: 'refused' };

const kinds = [
  'done',
  'opened',
  'no-session',
  'acknowledged',
  'forgotten',
  'beyond-window',
  'voted',
  'refused',
] as const;
const reasons = ['failed', 'too-large'] as const;

export function encodeOutcome(outcome: Outcome): Uint8Array {
  const w = new Writer().uint(kinds.indexOf(outcome.kind));
  if (outcome.kind === 'opened') w.uint(outcome.session);
  else if (outcome.kind === 'voted') w.uint(outcome.effective);
  else if (outcome.kind === 'done') {
    w.list(outcome.results, (inner, result) => {
      if (result.ok) inner.uint(0).bytes(result.value);
      else inner.uint(1 + reasons.indexOf(result.reason));
    });
  }
  return w.finish();
}

/** The outcome in `bytes`, or undefined. */
export function decodeOutcome(bytes: Uint8Array): Outcome | undefined {
  const r = new Reader(bytes);
  const kind = kinds[r.uint()];
  let outcome: Outcome | undefined;
  if (kind === 'opened') outcome = { kind, session: r.uint() };
  else if (kind === 'voted') outcome = { kind, effective: r.uint() };
  else if (kind === 'done')
    outcome = { kind, results: r.list(bytes.length, (inner) => readResult(inner, bytes.length)) };
  else if (kind !== undefined) outcome = { kind };
  return r.complete ? outcome : undefined;
}

function readResult(r: Reader, maxLength: number): CommandResult {
  const status = r.uint();
  if (status === 0) return { ok: true, value: r.bytes(maxLength) };
  const reason = reasons[status - 1];
  if (reason === undefined) r.failed = true;
  return { ok: false, reason: reason ?? 'failed' };
}
