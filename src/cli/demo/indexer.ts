/**
 * One indexer: a process of its own with a node of the mesh and one agent that can `index-text`. It knows
 * the coordinator's address to join by and nothing else. It ends when its parent does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CallContext, createMesh } from '../../index.ts';
import {
  capability,
  type IndexerReady,
  type IndexerSettings,
  type IndexReply,
  type IndexRequest,
  type SearchReply,
  type SearchRequest,
  type VerdictRequest,
} from './contract.ts';
import { type Hit, TermIndex } from './term-index.ts';

const settings = JSON.parse(process.argv[2] ?? '') as IndexerSettings;
// Ctrl-C goes to the whole group of processes; the parent ends this one in its turn, or by ending itself.
process.on('SIGINT', () => undefined);

let leave = async (): Promise<void> => undefined;
process.once('disconnect', () => void leave().finally(() => process.exit(0)));

const mesh = await createMesh({
  mode: 'cluster',
  name: settings.mesh,
  zone: settings.zone,
  bootstrap: settings.bootstrap,
});
leave = () => mesh.stop();

const batches = new Map<number, TermIndex>();
const verdicts = new Map<string, number>();
mesh.membership.on('change', ({ member }) => {
  if (member.state === 'unreachable' && !verdicts.has(member.id)) verdicts.set(member.id, Date.now());
});

async function index({ batch, files }: IndexRequest, { signal }: CallContext): Promise<IndexReply> {
  const started = performance.now();
  const shard = new TermIndex();
  for (const file of files) shard.add(file);
  const { terms, ...totals } = shard.counts();
  const left = settings.paceMs - (performance.now() - started);
  if (left > 0) await sleep(left, undefined, { signal });
  batches.set(batch, shard);
  return { batch, ...totals, terms: [...terms.keys()], counts: [...terms.values()] };
}

function search({ terms, batches: wanted }: SearchRequest): SearchReply {
  const hits: Hit[] = [];
  const documentFrequencies = terms.map(() => 0);
  const missing: number[] = [];
  for (const id of wanted) {
    const shard = batches.get(id);
    if (shard === undefined) missing.push(id);
    else {
      hits.push(...shard.search(terms));
      for (const [i, term] of terms.entries()) {
        documentFrequencies[i] = (documentFrequencies[i] ?? 0) + shard.documentFrequency(term);
      }
    }
  }
  return { missing, documentFrequencies, hits };
}

const verdict = ({ node }: VerdictRequest): number | null => verdicts.get(node) ?? null;

await mesh.registry.register(
  settings.agent,
  { index, search, verdict },
  { capabilities: [capability], kind: 'indexer', custom: { pid: process.pid } },
);
process.send?.({ ready: true, node: mesh.id } satisfies IndexerReady);
