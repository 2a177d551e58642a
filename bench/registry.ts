/**
 * Reads and writes of the registry in one process, beside a raw `Map` in the same run.
 * `npm run bench -- registry [--json]`
 */
import { realClock, realRng } from '../src/clock.ts';
import { HybridClock } from '../src/hlc.ts';
import { createIdentity } from '../src/identity.ts';
import { LocalRegistry } from '../src/protocols/registry/local-registry.ts';
import type { AgentMetadata, AgentRecord } from '../src/protocols/registry/registry.ts';
import { benchArguments, heapBytesOf, nanosecondsPerCall, report } from './harness.ts';

const { json } = benchArguments({});
const { id: self } = createIdentity();
const handler = (): void => undefined;

function createRegistry(): LocalRegistry {
  return new LocalRegistry({
    self,
    zone: 'zone-0',
    hlc: new HybridClock(realClock.wallNow),
    rng: realRng,
    maxAgents: Number.POSITIVE_INFINITY,
    onListenerError: (error) => {
      throw error;
    },
  });
}

/** Ids come in no order, and each capability is of ten agents. */
const idOf = (at: number, total: number): string => `agent-${(at * 7919) % total}`;
const metadataOf = (at: number, total: number): AgentMetadata => ({
  capabilities: [`skill-${at % (total / 10)}`, 'all'],
  kind: at % 2 === 0 ? 'worker' : 'boss',
  zone: `zone-${at % 10}`,
  capacity: { cpu: (at % 100) / 100 },
});

async function populate(total: number): Promise<LocalRegistry> {
  const registry = createRegistry();
  for (let at = 0; at < total; at++) await registry.register(idOf(at, total), handler, metadataOf(at, total));
  return registry;
}

/** Two criteria of which neither alone is selective: 100 and 1,000 of 10,000 agents, 10 in common. */
async function populateForTwoCriteria(): Promise<LocalRegistry> {
  const registry = createRegistry();
  for (let at = 0; at < 10_000; at++) {
    const metadata = { capabilities: [`skill-${at % 100}`, 'all'], zone: `zone-${Math.floor(at / 100) % 10}` };
    await registry.register(idOf(at, 10_000), handler, metadata);
  }
  return registry;
}

function expectLength(records: readonly AgentRecord[], expected: number): void {
  if (records.length !== expected) throw new Error(`Found ${records.length} agents instead of ${expected}.`);
}

const small = await populate(1_000);
const large = await populateForTwoCriteria();
const ids = Array.from({ length: 1_000 }, (_, at) => idOf(at, 1_000));
const map = new Map(ids.map((id) => [id, small.lookup(id)]));
expectLength(small.query({ capabilities: 'skill-5' }), 10);
expectLength(large.query({ capabilities: 'skill-7', zone: 'zone-3' }), 10);

const mapGetNs = await nanosecondsPerCall((call) => map.get(ids[call % 1_000] as string));
const lookupNs = await nanosecondsPerCall((call) => small.lookup(ids[call % 1_000] as string));
const skills = Array.from({ length: 100 }, (_, at) => `skill-${at}`);
const queryOneNs = await nanosecondsPerCall((call) => small.query({ capabilities: skills[call % 100] as string }));
const queryTwoNs = await nanosecondsPerCall((call) =>
  large.query({ capabilities: skills[call % 100] as string, zone: 'zone-3' }),
);
const queryTuplesNs = await nanosecondsPerCall((call) =>
  large.query([
    ['capabilities', skills[call % 100] as string, 'contains'],
    ['zone', 'zone-3', 'eq'],
  ]),
);
const resolveNs = await nanosecondsPerCall((call) => small.resolve({ capabilities: skills[call % 100] as string }));

/** The whole way of one registration, one after the other, into a registry that grows to 10,000. */
async function registerMicroseconds(): Promise<number> {
  const total = 10_000;
  const registry = createRegistry();
  const started = performance.now();
  for (let at = 0; at < total; at++) await registry.register(idOf(at, total), handler, metadataOf(at, total));
  return ((performance.now() - started) * 1_000) / total;
}
const rounds: number[] = [];
for (let round = 0; round < 5; round++) rounds.push(await registerMicroseconds());
const registerLocalUs = rounds.sort((a, b) => a - b)[2] as number;

const updated = await small.register('updated', handler, { capabilities: ['all'] });
const updateStarted = performance.now();
for (let step = 1; step <= 20_000; step++) await updated.update({ capacity: { cpu: step } });
const updateLocalUs = ((performance.now() - updateStarted) * 1_000) / 20_000;

const heapRounds: number[] = [];
for (let round = 0; round < 3; round++) heapRounds.push(await heapBytesOf(() => populate(10_000)));

report(
  'registry: 1,000 agents unless said, one process',
  {
    mapGetNs,
    lookupNs,
    lookupRatio: lookupNs / mapGetNs,
    queryCapability10of1000Us: queryOneNs / 1_000,
    queryTwoCriteria10of10000Us: queryTwoNs / 1_000,
    queryTwoTuples10of10000Us: queryTuplesNs / 1_000,
    resolveNearestOf10Us: resolveNs / 1_000,
    registerLocalUs,
    updateLocalUs,
    agents10000HeapMB: (heapRounds.sort((a, b) => a - b)[1] as number) / 1e6,
  },
  json,
);
