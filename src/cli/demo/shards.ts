/** What one indexer holds and does: batches of text turned into shards of an index. Knows nothing of processes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallContext } from '../../index.ts';
import type { IndexReply, IndexRequest, SearchReply, SearchRequest } from './contract.ts';
import { type Hit, TermIndex } from './term-index.ts';

export class Shards {
  readonly #shards = new Map<number, TermIndex>();
  readonly #paceMs: number;

  /** A batch takes at least `paceMs`. */
  constructor(paceMs: number) {
    this.#paceMs = paceMs;
  }

  readonly index = async ({ batch, files }: IndexRequest, { signal }: CallContext): Promise<IndexReply> => {
    const started = performance.now();
    const shard = new TermIndex();
    for (const file of files) shard.add(file);
    const { terms, ...totals } = shard.counts();
    const left = this.#paceMs - (performance.now() - started);
    if (left > 0) await sleep(left, undefined, { signal });
    this.#shards.set(batch, shard);
    return { batch, ...totals, terms: [...terms.keys()], counts: [...terms.values()] };
  };

  readonly search = ({ terms, batches }: SearchRequest): SearchReply => {
    const hits: Hit[] = [];
    const documentFrequencies = terms.map(() => 0);
    const missing: number[] = [];
    for (const batch of batches) {
      const shard = this.#shards.get(batch);
      if (shard === undefined) missing.push(batch);
      else {
        hits.push(...shard.search(terms));
        for (const [i, term] of terms.entries()) {
          documentFrequencies[i] = (documentFrequencies[i] ?? 0) + shard.documentFrequency(term);
        }
      }
    }
    return { missing, documentFrequencies, hits };
  };
}
