/** What the coordinator and the indexers say to each other. Both run this file, so it is the whole contract. */
import type { TextFile } from './term-index.ts';

/** By what the coordinator finds those who can do the work; it knows no names. */
export const capability = 'index-text';

export interface IndexRequest {
  readonly batch: number;
  readonly files: readonly TextFile[];
}

/** Terms and counts as two lists: half the size of a list of pairs. */
export interface IndexReply {
  readonly batch: number;
  readonly files: number;
  readonly words: number;
  readonly postings: number;
  readonly terms: readonly string[];
  readonly counts: readonly number[];
}

/** Batches are named so that one indexed twice, after a doubtful failure, is searched once. */
export interface SearchRequest {
  readonly terms: readonly string[];
  readonly batches: readonly number[];
}

export interface SearchReply {
  /** Batches asked for and not held here. */
  readonly missing: readonly number[];
  readonly documentFrequencies: readonly number[];
  readonly hits: readonly { readonly path: string; readonly words: number; readonly occurrences: readonly number[] }[];
}

/** When this node saw that one declared unreachable, by the machine's clock; null when it has not. */
export interface VerdictRequest {
  readonly node: string;
}

/** Given to an indexer process as its one argument, as JSON. */
export interface IndexerSettings {
  readonly mesh: string;
  readonly zone: string;
  readonly agent: string;
  readonly bootstrap: readonly string[];
  /** A batch takes at least this long, so that people can follow; 0 for as fast as it goes. Milliseconds. */
  readonly paceMs: number;
}

/** An indexer process says this to its parent once it is in the mesh. */
export interface IndexerReady {
  readonly ready: true;
  readonly node: string;
}
