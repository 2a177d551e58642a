/** The same work in one process, without mesh, batches or merging: what the answer has to be. */
import type { Corpus } from './corpus.ts';
import { type RankedHit, rank, type TermCounts, TermIndex } from './term-index.ts';

export class SingleProcessIndex {
  readonly #index = new TermIndex();
  readonly counts: TermCounts;

  constructor(corpus: Corpus) {
    for (const file of corpus.files) this.#index.add(file);
    this.counts = this.#index.counts();
  }

  documentFrequency(term: string): number {
    return this.#index.documentFrequency(term);
  }

  search(terms: readonly string[]): RankedHit[] {
    const frequencies = terms.map((term) => this.#index.documentFrequency(term));
    return rank(this.#index.search(terms), frequencies, this.counts);
  }
}

/** The same files in the same order; scores may differ in the last bits, since sums were added in another order. */
export function sameRanking(a: readonly RankedHit[], b: readonly RankedHit[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ path, score }, i) => path === b[i]?.path && Math.abs(score - (b[i]?.score ?? 0)) < 1e-9)
  );
}

/**
 * Terms worth searching for in any folder: neither everywhere nor nearly nowhere. Two pairs that occur
 * together, and one term found only in `lostPaths`, if there is one: the files whose index died.
 */
export function chooseSearches(
  single: SingleProcessIndex,
  lostPaths: ReadonlySet<string>,
): { readonly terms: readonly string[]; readonly wasLost: boolean }[] {
  const files = single.counts.files;
  const candidates = [...single.counts.terms]
    .filter(([term]) => /^\p{L}{5,}$/u.test(term))
    .map(([term, count]) => ({ term, count, df: single.documentFrequency(term) }))
    .sort((a, b) => b.count - a.count || (a.term < b.term ? -1 : 1));
  const telling = candidates.filter(({ df }) => df >= 2 && df <= Math.max(3, files / 2)).slice(0, 40);
  const chosen: { terms: string[]; wasLost: boolean }[] = [];
  for (const { term } of telling) {
    if (chosen.length === 2) break;
    if (chosen.some(({ terms }) => terms.includes(term))) continue;
    const other = telling.find(
      (candidate) =>
        candidate.term !== term &&
        !chosen.some(({ terms }) => terms.includes(candidate.term)) &&
        single.search([term, candidate.term]).length > 0,
    );
    if (other !== undefined) chosen.push({ terms: [term, other.term], wasLost: false });
  }
  const lost = candidates.find(
    ({ term, df }) => df <= lostPaths.size && single.search([term]).every(({ path }) => lostPaths.has(path)),
  );
  if (lost !== undefined) chosen.push({ terms: [lost.term], wasLost: true });
  if (chosen.length === 0 && candidates[0] !== undefined) chosen.push({ terms: [candidates[0].term], wasLost: false });
  return chosen;
}
