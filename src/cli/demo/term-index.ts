/** The work itself: words of texts counted, and an inverted index in which they can be searched. */

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** What indexing some files found. Adding the results of disjoint sets of files gives that of their union. */
export interface TermCounts {
  readonly files: number;
  readonly words: number;
  /** Pairs of a term and a file it occurs in. */
  readonly postings: number;
  readonly terms: ReadonlyMap<string, number>;
}

/** One file in which all terms occur, with how often each does. */
export interface Hit {
  readonly path: string;
  readonly words: number;
  readonly occurrences: readonly number[];
}

/** Words are runs of letters and digits, at least two, in lower case. */
const wordPattern = /[\p{L}\p{N}]{2,64}/gu;

export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(wordPattern) ?? [];
}

/** Term → path → occurrences. */
export class TermIndex {
  readonly #postings = new Map<string, Map<string, number>>();
  readonly #wordsOfFile = new Map<string, number>();

  add(file: TextFile): void {
    const words = wordsOf(file.text);
    this.#wordsOfFile.set(file.path, words.length);
    for (const word of words) {
      let files = this.#postings.get(word);
      if (files === undefined) {
        files = new Map();
        this.#postings.set(word, files);
      }
      files.set(file.path, (files.get(file.path) ?? 0) + 1);
    }
  }

  counts(): TermCounts {
    const terms = new Map<string, number>();
    let postings = 0;
    for (const [term, files] of this.#postings) {
      postings += files.size;
      let count = 0;
      for (const occurrences of files.values()) count += occurrences;
      terms.set(term, count);
    }
    let words = 0;
    for (const count of this.#wordsOfFile.values()) words += count;
    return { files: this.#wordsOfFile.size, words, postings, terms };
  }

  /** In how many files the term occurs. */
  documentFrequency(term: string): number {
    return this.#postings.get(term)?.size ?? 0;
  }

  /** The files in which every term occurs. */
  search(terms: readonly string[]): Hit[] {
    const [first, ...rest] = terms.map((term) => this.#postings.get(term));
    if (first === undefined) return [];
    const hits: Hit[] = [];
    for (const [path, occurrences] of first) {
      const others = rest.map((files) => files?.get(path) ?? 0);
      if (others.includes(0)) continue;
      hits.push({ path, words: this.#wordsOfFile.get(path) ?? 0, occurrences: [occurrences, ...others] });
    }
    return hits;
  }
}

export interface RankedHit {
  readonly path: string;
  readonly score: number;
}

/**
 * Best first, by BM25 with its usual constants (Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75). Needs the
 * numbers of the whole collection, so shards return hits and whoever asked them all ranks.
 */
export function rank(
  hits: readonly Hit[],
  documentFrequencies: readonly number[],
  collection: { readonly files: number; readonly words: number },
): RankedHit[] {
  const meanWords = collection.words / Math.max(1, collection.files);
  const weights = documentFrequencies.map((df) => Math.log(1 + (collection.files - df + 0.5) / (df + 0.5)));
  const score = (hit: Hit): number =>
    hit.occurrences.reduce((sum, tf, i) => {
      const saturation = (tf * 2.2) / (tf + 1.2 * (0.25 + (0.75 * hit.words) / meanWords));
      return sum + (weights[i] ?? 0) * saturation;
    }, 0);
  return hits
    .map((hit) => ({ path: hit.path, score: score(hit) }))
    .sort((a, b) => b.score - a.score || (a.path < b.path ? -1 : 1));
}

/** Adds up the results of batches. */
export function mergeCounts(parts: Iterable<TermCounts>): TermCounts {
  const terms = new Map<string, number>();
  let files = 0;
  let words = 0;
  let postings = 0;
  for (const part of parts) {
    files += part.files;
    words += part.words;
    postings += part.postings;
    for (const [term, count] of part.terms) terms.set(term, (terms.get(term) ?? 0) + count);
  }
  return { files, words, postings, terms };
}

/** Equal to the last term. */
export function sameCounts(a: TermCounts, b: TermCounts): boolean {
  if (a.files !== b.files || a.words !== b.words || a.postings !== b.postings) return false;
  if (a.terms.size !== b.terms.size) return false;
  for (const [term, count] of a.terms) if (b.terms.get(term) !== count) return false;
  return true;
}

/** English words that say nothing of a text. */
const stopWords = new Set(
  'from have into itself none only other over same than that their them then there these they this those what when where which while will with'.split(
    ' ',
  ),
);

/** The most frequent terms that say something: letters only, four or more. */
export function topTerms(counts: TermCounts, limit: number): { readonly term: string; readonly count: number }[] {
  return [...counts.terms]
    .filter(([term]) => /^\p{L}{4,}$/u.test(term) && !stopWords.has(term))
    .map(([term, count]) => ({ term, count }))
    .sort((a, b) => b.count - a.count || (a.term < b.term ? -1 : 1))
    .slice(0, limit);
}
