// Three agents decide who does which task, and somebody who was not there checks the decision without asking anybody. One process
// here: with `mode: 'cluster'` and validators the same lines run on many nodes, and no single node has to be trusted.
import assert from 'node:assert/strict';
import { createMesh, decodeCertificate, encodeCertificate, verifyDecision } from 'quorate';

type Allocation = Readonly<Record<'design' | 'code' | 'review', string>>;

await using mesh = await createMesh();

const skills: Readonly<Record<string, readonly string[]>> = {
  ada: ['design', 'review'],
  bo: ['code'],
  cy: ['code', 'review'],
};

// An agent that can do what it is given accepts; one that cannot votes for the allocation it would rather have.
const better: Allocation = { design: 'ada', code: 'bo', review: 'cy' };
for (const [agent, able] of Object.entries(skills)) {
  await mesh.registry.register(agent, () => undefined, { capabilities: able });
  mesh.coordination.voter<Allocation>(agent, ({ proposal }) => {
    const content = Object.entries(proposal).every(([task, who]) => who !== agent || able.includes(task));
    console.log(`${agent} ${content ? 'accepts' : 'names a better one'}`);
    return content ? true : { accept: true, value: better, reason: 'I cannot do that' };
  });
}

// More than half must want the same. Whoever is silent until the deadline is named in `missing`, and holds nobody up.
const decision = await mesh.coordination.propose<Allocation>({
  participants: Object.keys(skills),
  proposal: { design: 'bo', code: 'ada', review: 'cy' },
  rule: 'majority',
  deadlineMs: 5_000,
});
const [strongest] = decision.tally.choices;
console.log(`decided by ${strongest?.agents.join(' and ')}: ${JSON.stringify(decision.value)}`);
assert.ok(decision.accepted);
assert.deepEqual(decision.value, better);
assert.deepEqual(strongest?.agents, ['ada', 'bo']);

// The certificate travels as bytes, in a file or a message. Whoever checks it needs only to know whom to trust: here this one
// process; in a cluster the name of the mesh and its founding validators, `{ name, validators, f }`.
const bytes = encodeCertificate(await decision.certificate());
const trust = { local: mesh.id };

const proved = verifyDecision<Allocation>(decodeCertificate(bytes), trust);
assert.equal(proved.id, decision.id);
assert.deepEqual(proved.value, better);
console.log(
  `a certificate of ${bytes.length} bytes proves it: ${proved.value?.code} codes, ${proved.value?.review} reviews`,
);

// One bit of what it states is changed, and it proves nothing.
const forged = decodeCertificate(bytes);
const at = Math.floor(forged.statement.length / 2);
forged.statement[at] = (forged.statement[at] ?? 0) ^ 1;
assert.throws(() => verifyDecision(forged, trust), { code: 'CERTIFICATE_INVALID' });
console.log('a forged one does not');
