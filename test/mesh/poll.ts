/** For conditions of real networks that no event announces. */
const deadlineMs = 30_000;
const intervalMs = 5;

/** Resolves when `predicate` holds; rejects after a deadline that only a failure reaches. */
export async function pollUntil(predicate: () => boolean): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!predicate()) {
    if (Date.now() > end) throw new Error(`Not reached within ${deadlineMs} ms: ${predicate}`);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
