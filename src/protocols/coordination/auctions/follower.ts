/**
 * Keeps up with one auction until it is over: reads it at the beginning, after each event and gap, and now and then although nothing was
 * heard. A bidder, a watcher and whoever reveals each have their own.
 */
import { isQuorateError } from '../../../errors.ts';
import type { CoordinationTools } from '../tools.ts';
import { answered, viewFrom } from './answers.ts';
import type { AuctionView } from './book.ts';
import { topics } from './commands.ts';

/** How often an auction is read although nothing was heard, milliseconds. Mends lost events, and repeats what failed. */
const rereadMs = 2_000;

export interface AuctionListener {
  /** How it stands, after each reading, also when nothing has changed. */
  onView(view: AuctionView): void;
  /** It ended for whoever follows: closed (after `onView`), unknown by now, or `error` says why. */
  onEnd(error?: unknown): void;
}

/** Errors that the next reading may not meet. */
const passing: ReadonlySet<string> = new Set(['NO_QUORUM', 'NO_VALIDATORS', 'UNKNOWN_OUTCOME', 'REJECTED']);
export const mayPass = (error: unknown): boolean => isQuorateError(error) && passing.has(error.code);

/** Follows the auction `id`, of this opening if given. The function returned ends it; `onEnd` is then not called. */
export function followAuction(
  tools: CoordinationTools,
  id: string,
  opening: number | undefined,
  listener: AuctionListener,
): () => void {
  const over = new AbortController();
  let reading = false;
  let again = false;
  const query = { kind: 'auction.inspect', id, ...(opening === undefined ? {} : { opening }) };

  const stop = (): void => {
    if (over.signal.aborted) return;
    over.abort();
    unsubscribe();
    reread.cancel();
  };
  const readOnce = async (): Promise<void> => {
    try {
      const view = viewFrom(answered(await tools.client.query(query, { signal: over.signal })));
      if (over.signal.aborted) return;
      listener.onView(view);
      if (view.phase !== 'closed' || over.signal.aborted) return;
      stop();
      listener.onEnd();
    } catch (error) {
      if (over.signal.aborted || mayPass(error)) return;
      stop();
      listener.onEnd(error);
    }
  };
  const read = async (): Promise<void> => {
    again = true;
    if (reading) return;
    reading = true;
    while (again && !over.signal.aborted) {
      again = false;
      await readOnce();
    }
    reading = false;
  };
  const onReread = (): void => {
    reread = tools.clock.after(rereadMs, onReread);
    void read();
  };

  const unsubscribe = tools.client.subscribe(topics.auction(id), {
    onEvent: () => void read(),
    onGap: () => void read(),
  });
  let reread = tools.clock.after(rereadMs, onReread);
  void read();
  return stop;
}
