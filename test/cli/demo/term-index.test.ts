import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  mergeCounts,
  rank,
  sameCounts,
  TermIndex,
  type TextFile,
  topTerms,
  wordsOf,
} from '../../../src/cli/demo/term-index.ts';
import { chooseSearches, SingleProcessIndex, sameRanking } from '../../../src/cli/demo/verification.ts';

function indexOf(files: readonly TextFile[]): TermIndex {
  const index = new TermIndex();
  for (const file of files) index.add(file);
  return index;
}

const word = fc.constantFrom('mesh', 'agent', 'ring', 'feed', 'Äpfel', 'x1', 'constructor');
const texts = fc.array(fc.array(word, { maxLength: 12 }), { maxLength: 12 });
const filesOf = (all: readonly (readonly string[])[]): TextFile[] =>
  all.map((words, i) => ({ path: `f${i}`, text: words.join(' ') }));

describe('the term index', () => {
  it('counts words, terms and postings', () => {
    const counts = indexOf([
      { path: 'a', text: 'The mesh, the MESH!' },
      { path: 'b', text: 'a mesh' },
    ]).counts();
    expect(counts).toEqual({
      files: 2,
      words: 5,
      postings: 3,
      terms: new Map([
        ['the', 2],
        ['mesh', 3],
      ]),
    });
    expect(wordsOf("It's 2 o'clock: naïve_x")).toEqual(['it', 'clock', 'naïve']);
  });

  it('adds up to the same, however the files are cut into batches', () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat({ max: 3 })), (all, owners) => {
        const files = filesOf(all);
        const shards = [0, 1, 2, 3].map((shard) => indexOf(files.filter((_, i) => (owners[i] ?? 0) === shard)));
        const merged = mergeCounts(shards.map((shard) => shard.counts()));
        expect(sameCounts(merged, indexOf(files).counts())).toBe(true);
      }),
    );
  });

  it('tells one wrong count from the right ones', () => {
    const right = indexOf([{ path: 'a', text: 'mesh agent' }]).counts();
    const wrong = {
      ...right,
      terms: new Map([
        ['mesh', 1],
        ['agents', 1],
      ]),
    };
    expect(sameCounts(right, right)).toBe(true);
    expect(sameCounts(right, wrong)).toBe(false);
  });

  it('ranks what shards find as one index does', () => {
    fc.assert(
      fc.property(
        texts,
        fc.array(fc.nat({ max: 3 })),
        fc.uniqueArray(word, { minLength: 1, maxLength: 2 }),
        (all, owners, words) => {
          const files = filesOf(all);
          const terms = words.map((text) => text.toLowerCase());
          const shards = [0, 1, 2, 3].map((shard) => indexOf(files.filter((_, i) => (owners[i] ?? 0) === shard)));
          const single = indexOf(files);
          const frequencies = terms.map((term) =>
            shards.reduce((sum, shard) => sum + shard.documentFrequency(term), 0),
          );
          const ranked = rank(
            shards.flatMap((shard) => shard.search(terms)),
            frequencies,
            single.counts(),
          );
          const alone = rank(
            single.search(terms),
            terms.map((term) => single.documentFrequency(term)),
            single.counts(),
          );
          expect(sameRanking(ranked, alone)).toBe(true);
        },
      ),
    );
  });

  it('finds only files with all the terms, the more telling first', () => {
    const index = indexOf([
      { path: 'both', text: 'mesh mesh agent' },
      { path: 'weak', text: `mesh agent ${'filler '.repeat(50)}` },
      { path: 'one', text: 'mesh' },
    ]);
    const ranked = rank(index.search(['mesh', 'agent']), [3, 2], index.counts());
    expect(ranked.map(({ path }) => path)).toEqual(['both', 'weak']);
    expect(index.search(['nowhere'])).toEqual([]);
  });

  it('names the most frequent words that say something', () => {
    const counts = indexOf([{ path: 'a', text: 'the the the mesh mesh agent 1234 1234 1234' }]).counts();
    expect(topTerms(counts, 2)).toEqual([
      { term: 'mesh', count: 2 },
      { term: 'agent', count: 1 },
    ]);
  });
});

describe('searches chosen for a folder', () => {
  const files = Array.from({ length: 20 }, (_, i) => ({
    path: `f${i}`,
    text: `common words everywhere ${i < 4 ? 'gossip replica' : ''} ${i === 7 ? 'treasure treasure' : ''}`,
  }));
  const single = new SingleProcessIndex({ folder: '/', files, bytes: 0, skipped: 0 });

  it('find something, and one of them only what was lost', () => {
    const searches = chooseSearches(single, new Set(['f7']));
    expect(searches).toContainEqual({ terms: ['treasure'], wasLost: true });
    for (const { terms } of searches) expect(single.search(terms).length).toBeGreaterThan(0);
  });

  it('need nothing lost', () => {
    const searches = chooseSearches(single, new Set());
    expect(searches.length).toBeGreaterThan(0);
    expect(searches.every(({ wasLost }) => !wasLost)).toBe(true);
  });
});
