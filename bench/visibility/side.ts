/** What both sides of both systems share: the entry, the clock, the pace and the words to the parent. */
export type Side = 'writer' | 'reader';

export type FromSide =
  | { readonly type: 'ready'; readonly address: string }
  | { readonly type: 'latency'; readonly ms: number }
  | { readonly type: 'rss'; readonly bytes: number };

/** Milliseconds on CLOCK_MONOTONIC, which all processes of a machine share. */
export const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;

export const tell = (message: FromSide): void => void process.send?.(message);

/** About 120 bytes of state, as agents publish it. */
export function entry(
  at: number,
  round: number,
): { zone: string; load: number; round: number; at: number; note: string } {
  return { zone: 'eu-west-1a', load: (round % 100) / 100, round, at, note: 'queue 12, model small, warm' };
}

/** Waits for `go` from the parent, then calls `change` every `everyMs` for as many rounds as the parent says. */
export async function changeEvery(everyMs: number, change: (round: number) => void): Promise<void> {
  const rounds = await new Promise<number>((resolve) => process.once('message', (count: number) => resolve(count)));
  await new Promise<void>((resolve) => {
    let round = 0;
    const timer = setInterval(() => {
      change(++round);
      if (round < rounds) return;
      clearInterval(timer);
      resolve();
    }, everyMs);
  });
}

process.on('message', (message: unknown) => {
  if (message === 'rss') tell({ type: 'rss', bytes: process.memoryUsage.rss() });
});
process.on('disconnect', () => process.exit(0));
