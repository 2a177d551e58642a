/** The coordinator against indexers that fail in every way, all in one process: the answer is right or there is none. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capability, type IndexRequest } from '../../../src/cli/demo/contract.ts';
import { type Corpus, cutIntoBatches } from '../../../src/cli/demo/corpus.ts';
import { IndexJob, type JobEvents } from '../../../src/cli/demo/job.ts';
import { Shards } from '../../../src/cli/demo/shards.ts';
import { sameCounts } from '../../../src/cli/demo/term-index.ts';
import { SingleProcessIndex, sameRanking } from '../../../src/cli/demo/verification.ts';
import { type AgentHandler, type CallContext, createMesh, type Mesh, QuorateError } from '../../../src/index.ts';

const files = Array.from({ length: 60 }, (_, i) => ({
  path: `f${i}`,
  text: `common words ${i % 3 === 0 ? 'gossip' : 'ledger'} number${i} ${'x'.repeat(i % 7)} ${i % 9 === 0 ? 'quorum' : ''}`,
}));
const corpus: Corpus = { folder: '/', files, bytes: files.reduce((sum, { text }) => sum + text.length, 0), skipped: 0 };
const batches = cutIntoBatches(corpus, 20);
const single = new SingleProcessIndex(corpus);

let mesh: Mesh;
beforeEach(async () => {
  mesh = await createMesh();
});
afterEach(() => mesh.stop());

const register = (id: string, handler: AgentHandler) =>
  mesh.registry.register(id, handler, { capabilities: [capability] });

function indexer(): { readonly index: Shards['index']; readonly search: Shards['search'] } {
  const { index, search } = new Shards(0);
  return { index, search };
}

const startJob = (events: JobEvents = {}, signal = new AbortController().signal): IndexJob =>
  new IndexJob(mesh, batches, signal, events);

describe('the indexing job', () => {
  it('gives every agent work and gets the right answer', async () => {
    for (const id of ['a', 'b', 'c']) await register(id, indexer());
    const job = startJob();
    expect(sameCounts(await job.run(), single.counts)).toBe(true);
    for (const id of ['a', 'b', 'c']) expect(job.load(id).held).toBeGreaterThan(0);
    const found = await job.search(['gossip', 'quorum']);
    expect(sameRanking(found.top, single.search(['gossip', 'quorum']))).toBe(true);
    expect(found.files).toBeGreaterThan(0);
    expect(job).toMatchObject({ rerouted: 0, reindexed: 0 });
  });

  it('indexes again what a lost agent held', async () => {
    const registrations = new Map<string, Awaited<ReturnType<typeof register>>>();
    for (const id of ['a', 'b', 'c']) registrations.set(id, await register(id, indexer()));
    const lost: number[] = [];
    let leaving: Promise<void> | undefined;
    const job = startJob({
      onDone: (_agent, _batch, done) => {
        if (done >= 10) leaving ??= registrations.get('a')?.unregister();
      },
      onLost: (_agent, count) => lost.push(count),
    });
    expect(sameCounts(await job.run(), single.counts)).toBe(true);
    await leaving;
    expect(lost).toEqual([expect.any(Number)]);
    expect(job.reindexed).toBe(lost[0]);
    expect(job.load('a')).toEqual({ held: 0, working: 0 });
    expect((await job.search(['ledger'])).files).toBe(single.search(['ledger']).length);
  });

  it('ends when a handler fails: the same text would fail elsewhere', async () => {
    await register('good', indexer());
    let refusals = 0;
    const refuse = (_request: IndexRequest, { mesh: own }: CallContext): Promise<unknown> => {
      refusals += 1;
      return own.call('nobody', null);
    };
    await register('bad', { index: refuse, search: indexer().search });
    const codes = new Set<string>();
    const job = startJob({ onRerouted: (_agent, _batch, code) => codes.add(code) });
    await expect(job.run()).rejects.toSatisfy(
      (error) => error instanceof QuorateError && error.code === 'HANDLER_FAILED',
    );
    expect(refusals).toBeGreaterThan(0);
    expect(codes.size).toBe(0);
  });

  it('does not believe an agent that lost its shards', async () => {
    let forgetful = indexer();
    let forgot = false;
    await register('good', indexer());
    await register('forgetful', {
      index: (request: IndexRequest, context: CallContext) => forgetful.index(request, context),
      search: (request: Parameters<Shards['search']>[0]) => {
        if (!forgot) forgetful = indexer(); // As if it had been restarted between.
        forgot = true;
        return forgetful.search(request);
      },
    });
    const job = startJob();
    expect(sameCounts(await job.run(), single.counts)).toBe(true);
    expect(job.reindexed).toBeGreaterThan(0);
    expect((await job.search(['ledger'])).files).toBe(single.search(['ledger']).length);
  });

  it('waits for an agent, and gives up when told', async () => {
    const abort = new AbortController();
    const waiting = startJob({}, abort.signal).run();
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    const later = startJob().run();
    await register('late', indexer());
    expect(sameCounts(await later, single.counts)).toBe(true);
  });
});
