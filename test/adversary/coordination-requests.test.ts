/** Requests as a hostile member makes them: in the name of others, forged, repeated, too many, and malformed for every part of the machine. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { createIdentity } from '../../src/identity.ts';
import { encodePayload } from '../../src/payload.ts';
import { orderedRead } from '../../src/protocols/coordination/machine/machine.ts';
import { pollUntil } from '../mesh/poll.ts';
import { BesiegedMesh, type Besieger } from './coordination-attacker.ts';

let mesh: BesiegedMesh;
let hostile: Besieger;
beforeAll(async () => {
  mesh = await BesiegedMesh.start('siege-requests');
});
beforeEach(async () => {
  hostile = await mesh.attacker();
});
afterEach(async () => {
  await hostile.stop();
  await mesh.works();
});
afterAll(() => mesh.stop());

const nothing = encodePayload({ kind: 'tick' }, 64);
const validSamples: readonly { readonly [field: string]: unknown }[] = [
  {
    kind: 'grant.acquire',
    name: 'n',
    id: 'a'.repeat(32),
    sort: 'lock',
    permits: 1,
    count: 1,
    leaseMs: 1_000,
    waitMs: 0,
  },
  { kind: 'grant.renew', id: 'a'.repeat(32), token: 1 },
  { kind: 'grant.release', id: 'a'.repeat(32), token: 1 },
  { kind: 'barrier.arrive', at: { id: 'b', epoch: 1, generation: 1 }, as: 'a', zone: 'z', attempt: 1 },
  { kind: 'proposals.vote', id: 'p', agent: 'a', accept: true },
  { kind: 'auction.bid', id: 'a', opening: 1, agent: 'a', amount: 1 },
  { kind: 'sequence.next', name: 's', count: 1 },
  { kind: 'counter.add', name: 'c', amount: 1 },
  { kind: 'map.set', name: 'm', key: 'k', value: encodePayload(1, 10) },
  { kind: 'names.claim', session: 1, id: 'n', attempt: 1 },
  { kind: 'machines.submit', name: 'm', version: 1, command: new Uint8Array(3) },
];
const odd = [
  undefined,
  null,
  -1,
  2 ** 53,
  Number.NaN,
  -0,
  '',
  'x'.repeat(5_000),
  '__proto__',
  new Uint8Array(40_000),
  [],
  {},
  new Map([[1, 2]]),
  new Date(0),
  10n ** 60n,
  true,
];

describe('requests of a hostile member', () => {
  it('signed with a key made for it and passed on by somebody else: not taken, however many', async () => {
    const before = mesh.validators.map(({ mesh: node }) => node.status().coordination.replica?.executed ?? 0);
    for (let n = 0; n < 300; n++) {
      const signer = createIdentity();
      for (const node of mesh.validators) await hostile.say(node, hostile.request({ kind: 'open' }, { signer }));
    }
    await pollUntil(() => mesh.counted(/^agreement: not-a-member/) >= 900);
    const after = mesh.validators.map(({ mesh: node }) => node.status().coordination.replica?.executed ?? 0);
    // Perhaps somebody else's command, but none of these three hundred.
    expect(Math.max(...after) - Math.min(...before)).toBeLessThan(100);
  });

  it('in the name of others, with a bad signature or a copied one: nothing happens in their name', async () => {
    const victim = mesh.member.id;
    const add = encodePayload({ kind: 'counter.add', name: 'forged', amount: 1 }, 100);
    for (const node of mesh.validators) {
      for (let session = 1; session < 60; session++) {
        const request = hostile.request({ kind: 'commands', commands: [add] }, { client: victim, session });
        await hostile.say(node, request);
      }
    }
    await mesh.works();
    expect(await mesh.member.mesh.coordination.counter('forged').value()).toBe(0);
  });

  it('a flood of good ones of its own: others are served', async () => {
    for (const node of mesh.validators) {
      const requests = Array.from({ length: 6_000 }, (_, n) =>
        hostile.request({ kind: 'open' }, { number: 1 + (n % 7) }),
      );
      await hostile.say(node, ...requests);
    }
    await mesh.works();
  });

  it('repeated word for word: run once', async () => {
    const add = encodePayload({ kind: 'counter.add', name: 'once', amount: 1 }, 100);
    const opened = await hostile.order([nothing]);
    expect(opened).toHaveLength(1);
    const again = hostile.request({ kind: 'commands', commands: [add] }, hostile.place(2));
    for (let n = 0; n < 50; n++) for (const node of mesh.validators) await hostile.say(node, again);
    await hostile.settled(again);
    await mesh.works();
    expect(await mesh.member.mesh.coordination.counter('once').value()).toBe(1);
    // The same by somebody else, who heard it.
    const other = await mesh.attacker();
    for (const node of mesh.validators) await other.say(node, again);
    await other.stop();
    expect(await mesh.member.mesh.coordination.counter('once').value()).toBe(1);
  });

  it('malformed commands for every part of the machine: refused alike everywhere, and the state stays equal', async () => {
    const rng = seededRng(51);
    const commands: unknown[] = [];
    for (const sample of validSamples) {
      commands.push({ kind: sample['kind'] }, { ...sample, more: 1 }, { ...sample, kind: `${sample['kind']}x` });
      for (const field of Object.keys(sample)) {
        for (const value of odd) commands.push({ ...sample, [field]: value });
      }
    }
    for (let n = 0; n < 200; n++) commands.push(rng.bytes(1 + rng.below(60)));
    commands.push(new Uint8Array(0), new Uint8Array(5_000).fill(0x81), orderedRead(new Uint8Array(5_000).fill(0x81)));
    const codes = new Map<string, number>();
    // Half as many bytes as a request may have.
    for (let at = 0; at < commands.length; at += 3) {
      for (const answer of await hostile.command(...commands.slice(at, at + 3).map(encoded))) {
        const code = typeof answer === 'string' ? answer : 'ok';
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
    }
    expect(codes.get('failed')).toBe(undefined);
    expect(codes.get('INVALID_ARGUMENT')).toBeGreaterThan(500);
    await mesh.checkpoint();
  });

  it('floods of questions, about certificates, health, subscriptions and the group: bounded, and others are served', async () => {
    const query = encodePayload({ kind: 'names.grant', id: 'nobody', token: 1 }, 100);
    for (const node of mesh.validators) {
      for (let id = 0; id < 3_000; id++) {
        await hostile.tell(node, { type: 'certify', id, query }, { type: 'health', id }, { type: 'which' });
        if (id % 3 === 0) await hostile.tell(node, { type: 'subscribe', topic: `grant/${id}`.padEnd(1_000, 'x') });
      }
    }
    await mesh.works();
    await pollUntil(() => mesh.counted(/^coordination: over its rate/) > 3 * 2_000);
    const told = hostile.frames();
    expect(told.filter(({ type }) => type === 'group').length).toBeLessThan(100);
    await hostile.stop();
    // Nobody is told of what only it had subscribed to.
    await pollUntil(() =>
      mesh.validators.every(({ mesh: node }) => !node.status().peers.some(({ id }) => id === hostile.id)),
    );
  });

  it('what it reads it may not read by heart: answers to a member that takes none are not kept without bound', async () => {
    const node = mesh.honest.node(0);
    const streams = hostile.attacker.inbound;
    await hostile.command({
      kind: 'map.set',
      name: 'big',
      key: 'k',
      value: encodePayload(new Uint8Array(32_000), 33_000),
    });
    for (const list of streams.values()) for (const stream of list) stream.stall();
    const before = process.memoryUsage().rss;
    const query = encodePayload({ kind: 'map.get', name: 'big', key: 'k' }, 100);
    for (let number = 1; number <= 20_000; number++) await hostile.say(node, { type: 'read', number, query });
    await mesh.works();
    expect(process.memoryUsage().rss - before).toBeLessThan(700 << 20);
  });
});

function encoded(command: unknown): Uint8Array {
  return command instanceof Uint8Array ? command : encodePayload(command, 128 * 1024);
}
