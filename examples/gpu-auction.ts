// Three agents bid for a GPU slot, sealed, second price; the winner uses it with its fencing token. One process here: with
// `mode: 'cluster'` and validators the same lines run on many nodes, and no node has to be trusted.
import assert from 'node:assert/strict';
import { createMesh } from 'quorate';

await using mesh = await createMesh();

// Stands in for the scheduler of the GPU: it takes work only from who bought the slot last. Whoever had it before is refused, even
// if it was asleep and does not know yet.
const gpu = {
  newest: 0,
  run(work: string, token: number): string {
    if (token < this.newest) throw new Error(`token ${token} is older than ${this.newest}`);
    this.newest = token;
    return `gpu-7 runs ${work}`;
  },
};

// What half an hour of the GPU is worth to each, in cents. At second price it is best to bid just that.
const worth = { trainer: 900, renderer: 650, indexer: 300 };
for (const [agent, cents] of Object.entries(worth)) {
  await mesh.registry.register(agent, () => undefined, { capabilities: ['gpu-work'] });
  mesh.coordination.bidder(agent, (auction) => {
    console.log(`${agent} bids in secret for ${JSON.stringify(auction.terms.resource)}`);
    return cents;
  });
}

const terms = {
  resource: { gpu: 7, minutes: 30 },
  mechanism: 'sealedBidSecondPrice',
  reserve: 200,
  bidders: Object.keys(worth),
  bidMs: 400,
} as const;

const first = await mesh.coordination.auction(terms);
const { winner, price, token, bids } = await first.result();
console.log(`${winner?.agent} wins for ${price} cents: what ${bids[1]?.agent} bid`);
assert.deepEqual([winner?.agent, price], ['trainer', 650]);
assert.ok(token !== undefined);
console.log(gpu.run('training', token));

// The next slot has another buyer; the trainer comes too late with its old token.
const second = await mesh.coordination.auction({ ...terms, bidders: ['renderer'] });
const next = await second.result();
console.log(`${next.winner?.agent} wins alone and pays the reserve, ${next.price} cents`);
assert.deepEqual([next.winner?.agent, next.price], ['renderer', 200]);
assert.ok(next.token !== undefined && next.token > token);
console.log(gpu.run('rendering', next.token));
assert.throws(() => gpu.run('more training', token), /older/);
console.log('the trainer is refused by now');

// Whoever was not there can be shown who won: the certificate carries the validators' signatures.
const certificate = await second.certificate();
assert.equal(certificate.signatures.length, 1);
