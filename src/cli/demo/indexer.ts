/**
 * One indexer: a process of its own with a node of the mesh and one agent that can `index-text`. It knows
 * the coordinator's address to join by and nothing else. It ends when its parent does.
 */
import { createMesh } from '../../index.ts';
import { capability, type IndexerReady, type IndexerSettings, type VerdictRequest } from './contract.ts';
import { Shards } from './shards.ts';

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

const verdicts = new Map<string, number>();
mesh.membership.on('change', ({ member }) => {
  if (member.state === 'unreachable' && !verdicts.has(member.id)) verdicts.set(member.id, Date.now());
});
const verdict = ({ node }: VerdictRequest): number | null => verdicts.get(node) ?? null;

const { index, search } = new Shards(settings.paceMs);
await mesh.registry.register(
  settings.agent,
  { index, search, verdict },
  { capabilities: [capability], kind: 'indexer', custom: { pid: process.pid } },
);
process.send?.({ ready: true, node: mesh.id } satisfies IndexerReady);
