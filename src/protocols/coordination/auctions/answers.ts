/** The way between ordered auctions and callers: options become terms, views become states, refusals become errors. */
import * as v from 'valibot';
import { decodeValue, encodeValue } from '../../../codec.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { Answer } from '../machine/reducer.ts';
import type { CoordinationTools } from '../tools.ts';
import type { AuctionCallOptions, AuctionOptions, AuctionState, AuctionTerms, Bidder } from './auctions.ts';
import { type AuctionView, viewSchema } from './book.ts';
import type { AuctionCommand } from './commands.ts';
import { maxDurationMs } from './limits.ts';
import { type OrderedTerms, termsSchema } from './terms.ts';

/** Before a command whose outcome is unknown is sent again, milliseconds. */
const againAfterMs = 100;

/** Fills in defaults and checks. Throws `INVALID_ARGUMENT` with every wrong field, `UNSUPPORTED_VALUE` for the resource. */
export function termsFrom(options: AuctionOptions, bidders: readonly Bidder[] | undefined): OrderedTerms {
  const { resource, reserve = 0 } = options;
  const checked = v.safeParse(termsSchema, {
    ...mechanismTerms(options, reserve),
    resource: encodeValue(resource),
    reserve,
    ...(bidders === undefined ? {} : { bidders }),
  });
  if (checked.success) return checked.output;
  const fields: Record<string, string> = {};
  for (const issue of checked.issues) fields[v.getDotPath(issue) ?? 'terms'] = issue.message;
  const listed = Object.entries(fields).map(([field, what]) => `${field}: ${what}`);
  throw new QuorateError(
    'INVALID_ARGUMENT',
    `These terms are no auction: ${listed.join('; ')}. Amounts are whole numbers of the smallest unit, durations whole milliseconds.`,
    { fields },
  );
}

/** Nothing but what the mechanism knows: a misspelt or foreign option of a JavaScript caller shows in the schema's message. */
function mechanismTerms(options: AuctionOptions, reserve: number): Record<string, unknown> {
  const { id, resource, reserve: _, bidders, signal, timeoutMs, ...rest } = options;
  switch (rest.mechanism) {
    case 'english':
      return {
        startPrice: reserve,
        increment: 1,
        quietMs: Math.max(1, Math.ceil(rest.bidMs / 10)),
        hardEndMs: Math.min(10 * rest.bidMs, maxDurationMs),
        ...rest,
      };
    case 'dutch':
      return rest;
    default:
      return { revealMs: 30_000, ...rest };
  }
}

export function viewFrom(value: Value): AuctionView {
  const checked = v.safeParse(viewSchema, value);
  if (checked.success) return checked.output;
  throw new QuorateError('WRONG_VERSION', 'The validators describe an auction as this version does not understand it.');
}

export function publicTerms({ resource, ...terms }: OrderedTerms): AuctionTerms {
  const decoded = decodeValue(resource);
  // Whoever opened it may have written anything; what is no value is nothing.
  return { ...terms, resource: decoded.ok ? decoded.value : undefined };
}

export function stateFrom({ opening: _, ...view }: AuctionView, terms = publicTerms(view.terms)): AuctionState {
  const { result } = view;
  return { ...view, terms, bids: result === undefined ? view.bids : [...result.bids, ...result.unrevealed] };
}

/**
 * Submits until the outcome is known or the time is over: all commands of auctions may come twice.
 * Rejects as ordering does; in the end with `UNKNOWN_OUTCOME` if it stays unknown.
 */
export async function submitSurely(
  tools: CoordinationTools,
  command: AuctionCommand,
  { signal, timeoutMs = tools.timeoutMs }: AuctionCallOptions,
): Promise<Value> {
  const endsAt = tools.clock.now() + timeoutMs;
  for (;;) {
    const left = endsAt - tools.clock.now();
    let unknown: unknown;
    try {
      return answered(await tools.client.submit(command, { signal, timeoutMs: left }));
    } catch (error) {
      if (!isQuorateError(error, 'UNKNOWN_OUTCOME')) throw error;
      unknown = error;
    }
    if (endsAt - tools.clock.now() <= againAfterMs) throw unknown;
    await pause(tools, againAfterMs, signal);
  }
}

function pause({ clock }: CoordinationTools, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export function answered(answer: Answer): Value {
  if (answer.ok) return answer.value;
  throw new QuorateError(answer.code, explain(answer), answer.data);
}

function explain({ code, data }: Extract<Answer, { ok: false }>): string {
  const id = String(data['id']);
  switch (code) {
    case 'NOT_FOUND':
      return `There is no auction '${id}', or not any more: finished ones are kept for an hour. Check the id.`;
    case 'ALREADY_EXISTS':
      return `There is an auction '${id}' with other terms. Join it by joinAuction, or choose another id.`;
    case 'CONFLICT':
      return `The bid is too low by now: at least ${String(data['minimum'])} is needed. Look again, and bid more or wait.`;
    case 'LIMIT_EXCEEDED':
      return `There are too many ${String(data['what'])} (${String(data['limit'])} is the most). Wait until some are over.`;
    case 'NOT_PERMITTED':
      return forbiddenMessage(String(data['reason']), id, String(data['agent']));
    default:
      return `The auction refused: ${String(data['reason'] ?? code)}.`;
  }
}

function forbiddenMessage(reason: string, id: string, agent: string): string {
  if (reason === 'not-invited') {
    return `Agent '${agent}' of this node was not invited to auction '${id}'. Invitations are for the node an agent lived on at the opening.`;
  }
  if (reason === 'bidding-is-over') return `Bidding in auction '${id}' is over. See its result.`;
  if (reason === 'still-bidding') return `Auction '${id}' still takes bids; bids are revealed after that.`;
  return `Auction '${id}' does not permit it: ${reason}.`;
}
