/** Coordination as an application sees it: real nodes, a real group of validators with logs on disk. */
import { beforeEach, describe, expect, test } from 'vitest';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { isQuorateError } from '../../src/errors.ts';
import type { Mesh } from '../../src/mesh.ts';
import type { NodeId } from '../../src/node-id.ts';
import { beside, directory, eventsOf, node } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';

const handler = { where: async () => 'here' };
const metadata = { capabilities: ['work'] };

/** Four validators that bear one liar, and a member that is none and was told nothing. */
async function foundedMesh(): Promise<{ validators: Mesh[]; member: Mesh; directories: string[]; ids: NodeId[] }> {
  const directories = await Promise.all([0, 1, 2, 3].map(() => directory()));
  const ids = await Promise.all(directories.map((path) => ensureNodeKey(path)));
  const validators: Mesh[] = [];
  for (const dataDir of directories) {
    validators.push(await beside(validators, { name: 'agree', dataDir, coordination: { validators: ids, f: 1 } }));
  }
  const member = await beside(validators, { name: 'agree' });
  return { validators, member, directories, ids };
}

describe('a mesh with four validators', () => {
  let validators: Mesh[];
  let member: Mesh;
  let directories: string[];
  let ids: NodeId[];

  beforeEach(async () => {
    ({ validators, member, directories, ids } = await foundedMesh());
  });

  test('locks exclude across nodes, with rising tokens; counters, maps and elections agree', async () => {
    const first = await member.coordination.lock('deploy');
    const busy = await (validators[0] as Mesh).coordination
      .lock('deploy', { wait: false })
      .catch((error: unknown) => error);
    expect(isQuorateError(busy, 'TIMED_OUT')).toBe(true);
    const waiting = (validators[1] as Mesh).coordination.lock('deploy');
    await first.release();
    const second = await waiting;
    expect(second.token).toBeGreaterThan(first.token);
    expect(first.held).toBe(false);
    expect(second.held).toBe(true);

    await Promise.all([member, ...validators].map((mesh) => mesh.coordination.counter('hits').add(2)));
    expect(await member.coordination.counter('hits').value()).toBe(10);

    const config = member.coordination.map<string>('config');
    const { version } = await config.set('mode', 'fast');
    const elsewhere = (validators[2] as Mesh).coordination.map<string>('config');
    expect(await elsewhere.compareAndSet('mode', version, 'safe')).toMatchObject({ ok: true });
    expect(await config.compareAndSet('mode', version, 'slow')).toMatchObject({ ok: false, value: 'safe' });

    const leadership = await member.coordination.election('chief').campaign({ value: 'me' });
    expect(await (validators[3] as Mesh).coordination.election('chief').leader()).toMatchObject({
      node: member.id,
      value: 'me',
      token: leadership.token,
    });
  });

  test('agents decide, a barrier opens, an auction is won, each with agents on several nodes', async () => {
    const agents = ['a', 'b', 'c'];
    for (const [index, agent] of agents.entries()) {
      const mesh = validators[index] as Mesh;
      await mesh.registry.register(agent, handler, metadata);
      mesh.coordination.voter(agent, () => agent !== 'c');
    }
    await pollUntil(() => agents.every((agent) => member.registry.lookup(agent) !== undefined));
    const decision = await member.coordination.propose({
      participants: agents,
      proposal: { ship: true },
      rule: 'majority',
    });
    expect(decision.accepted).toBe(true);
    const certificate = await decision.certificate();
    expect(certificate.signatures.length).toBe(2);

    const passages = await Promise.all(
      agents.map(async (agent, index) => {
        const barrier = await (validators[index] as Mesh).coordination.barrier({ id: 'epoch', participants: agents });
        return barrier.arrive({ as: agent });
      }),
    );
    expect(new Set(passages.map(({ token }) => token)).size).toBe(1);

    const auction = await member.coordination.auction({
      resource: 'gpu',
      mechanism: 'sealedBidSecondPrice',
      bidders: agents,
      // Long for three bids on a busy machine: bidding ends by the clock only.
      bidMs: 5_000,
    });
    await Promise.all(
      agents.map(async (agent, index) => {
        const joined = await (validators[index] as Mesh).coordination.joinAuction(auction.id);
        await joined.bid(100 * (index + 1), { as: agent });
      }),
    );
    expect(await auction.result()).toMatchObject({ sold: true, winner: { agent: 'c' }, price: 200 });
  });

  test('a strong registration takes the id from a node that merely claims it, and no other can have it', async () => {
    const squatter = await member.registry.register('billing', handler, metadata);
    const owner = await (validators[0] as Mesh).registry.register('billing', handler, metadata, {
      consistency: 'strong',
    });
    await pollUntil(() => !squatter.active && member.registry.lookup('billing')?.node === owner.record.node);
    for (const mesh of [member, validators[1] as Mesh]) {
      const refused = await mesh.registry
        .register('billing', handler, metadata, { consistency: 'strong' })
        .catch((error: unknown) => error);
      expect(isQuorateError(refused, 'ALREADY_REGISTERED')).toBe(true);
    }
    await owner.unregister();
    const next = await member.registry.register('billing', handler, metadata, { consistency: 'strong' });
    expect(next.record.strong?.token).toBeGreaterThan(owner.record.strong?.token ?? Number.POSITIVE_INFINITY);
  });

  test('one validator stops and comes back with its log; two stopped: an error that names them', async () => {
    const counter = member.coordination.counter('c');
    expect(await counter.add(1)).toBe(1);
    await (validators[3] as Mesh).stop();
    expect(await counter.add(1)).toBe(2);
    const back = await beside(validators.slice(0, 3), {
      name: 'agree',
      dataDir: directories[3] as string,
      coordination: { validators: ids, f: 1 },
    });
    expect(await back.coordination.counter('c').add(1)).toBe(3);
    await pollUntil(() => (back.status().coordination.replica?.executed ?? 0) > 0);

    await back.stop();
    await (validators[2] as Mesh).stop();
    const failure = await counter.add(1, { timeoutMs: 2_000 }).catch((error: unknown) => error);
    if (!isQuorateError(failure, 'UNKNOWN_OUTCOME')) throw failure;
    const silent = failure.data['silent'] as NodeId[];
    expect(silent).toEqual(expect.arrayContaining([back.id, (validators[2] as Mesh).id]));
  });

  test('a fifth validator is voted in, and the member that was told nothing follows with proof', async () => {
    const dataDir = await directory();
    const fifth = await beside(validators, { name: 'agree', dataDir });
    const changes = eventsOf(member, 'validators');
    await fifth.coordination.counter('c').add(1);
    const votes = [];
    for (const mesh of validators.slice(0, 3)) votes.push(await mesh.coordination.validators.add(fifth.id));
    expect(votes.at(-1)?.state).toBe('decided');
    await pollUntil(() => fifth.status().coordination.replica !== undefined && fifth.status().coordination.epoch === 1);
    expect(await member.coordination.counter('c').add(1)).toBe(2);
    await pollUntil(() => changes.at(-1)?.epoch === 1);
    const health = await member.coordination.validators.health();
    expect(health.map(({ id }) => id)).toEqual([...ids].sort().concat(fifth.id));
  });
});

describe('founding', () => {
  test('fewer validators than the liars need are refused with minimum and actual', async () => {
    const failure = await node({ coordination: { validators: ['self'], f: 1, durable: false } }).catch(
      (error: unknown) => error,
    );
    if (!isQuorateError(failure, 'INVALID_ARGUMENT')) throw failure;
    expect(failure.data).toMatchObject({ minimum: 4, n: 1 });
  });

  test('a validator without a place for its log is refused, unless it may forget', async () => {
    const failure = await node({ coordination: { validators: ['self'] } }).catch((error: unknown) => error);
    expect(isQuorateError(failure, 'INVALID_OPTIONS')).toBe(true);
    const alone = await node({ coordination: { validators: ['self'], durable: false } });
    expect(await alone.coordination.sequence('s').next()).toBe(1);
  });

  test('a validator that kept nothing does not come back as itself', async () => {
    const dataDir = await directory();
    const options = { dataDir, coordination: { validators: ['self'], durable: false } } as const;
    const first = await node(options);
    await first.coordination.counter('c').add(1);
    await first.stop();
    const failure = await node(options).catch((error: unknown) => error);
    if (!isQuorateError(failure, 'VALIDATOR_FAILED')) throw failure;
    expect(failure.data['reason']).toBe('forgotten');
  });
});
