// A strategy of your own: among the agents that match, take the cheapest that is good enough.
import { type AgentRecord, createMesh } from 'quorate';

await using mesh = await createMesh();

const models = [
  { id: 'large', price: 15, quality: 0.95 },
  { id: 'medium', price: 3, quality: 0.85 },
  { id: 'small', price: 0.2, quality: 0.6 },
];
for (const { id, price, quality } of models) {
  await mesh.registry.register(id, (prompt: string) => `${id} answers: ${prompt.length} characters read`, {
    capabilities: ['summarise'],
    kind: 'model',
    custom: { price, quality },
  });
}

// Candidates are healthy, reachable and match the criteria; they come ordered by id, and are never empty.
const price = (agent: AgentRecord): number => Number(agent.custom['price']);
const cheapest = (candidates: readonly AgentRecord[]): AgentRecord =>
  candidates.reduce((best, agent) => (price(agent) < price(best) ? agent : best));

const goodEnough = { capabilities: 'summarise', custom: { quality: { gte: 0.8 } } };
console.log(`chosen: ${mesh.registry.resolve(goodEnough, { strategy: cheapest })?.id}`);

// The same in a call, which then also retries with the next best when the first cannot be reached.
console.log(await mesh.call(goodEnough, 'A long story about a mesh.', { resolve: { strategy: cheapest } }));

// Strategies may use what the mesh knows: who is near, who is busy.
const nearAndCheap = mesh.registry.resolve(
  { kind: 'model' },
  {
    strategy: (candidates, { rttMs, pendingCalls }) => {
      const cost = (agent: AgentRecord): number =>
        price(agent) + (rttMs(agent.node) ?? 100) / 10 + pendingCalls(agent.id);
      return candidates.toSorted((a, b) => cost(a) - cost(b))[0];
    },
  },
);
console.log(`near and cheap: ${nearAndCheap?.id}`);
