import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { verifyDecision } from '../../../../src/protocols/coordination/proposals/decisions.ts';
import { OrderedProposals } from '../../../../src/protocols/coordination/proposals/ordered-proposals.ts';
import type { Proposal, Voter } from '../../../../src/protocols/coordination/proposals/proposals.ts';
import { ProposalsReducer } from '../../../../src/protocols/coordination/proposals/reducer.ts';
import type { CoordinationTools } from '../../../../src/protocols/coordination/tools.ts';
import type { AgentId } from '../../../../src/value.ts';
import { localNode, ManualClock, SharedOrder, settle } from '../local-tools.ts';

interface Node {
  readonly id: NodeId;
  readonly proposals: OrderedProposals;
  readonly errors: { readonly error: unknown; readonly where: string }[];
}

/** Nodes that share an order, with agents `a0`, `a1` … one on each. */
class Mesh {
  readonly clock = new ManualClock();
  readonly order = new SharedOrder([new ProposalsReducer()], this.clock);
  readonly homes = new Map<AgentId, { node: NodeId; zone: string }>();
  readonly nodes: Node[];

  constructor(size: number) {
    this.nodes = Array.from({ length: size }, () => {
      const tools = this.order.node();
      const errors: Node['errors'][number][] = [];
      return { id: tools.self, errors, proposals: new OrderedProposals(this.equip(tools, errors)) };
    });
    this.nodes.forEach(({ id }, index) => {
      this.homes.set(`a${index}`, { node: id, zone: index % 2 === 0 ? 'eu' : 'us' });
    });
  }

  equip(tools: CoordinationTools, errors: Node['errors'][number][]): CoordinationTools {
    return {
      ...tools,
      locate: (agent) => this.homes.get(agent),
      onError: (error, where) => void errors.push({ error, where }),
    };
  }

  at(index: number): Node {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`There is no node ${index}.`);
    return node;
  }

  voter(index: number, vote: Voter): () => void {
    return this.at(index).proposals.voter(`a${index}`, vote);
  }

  /** Time passes; validators notice deadlines. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    this.order.tick();
    await settle();
  }
}

const agents = ['a0', 'a1', 'a2'];
const yes: Voter = () => true;
const no: Voter = () => false;

describe('a decision', () => {
  it('comes as soon as the voters have made it', async () => {
    const mesh = new Mesh(3);
    mesh.voter(0, yes);
    mesh.voter(1, () => ({ accept: false, reason: 'busy' }));
    mesh.voter(2, async () => ({ accept: true }));
    const { proposals } = mesh.at(0);
    const proposal = { task: 'parse', owner: 'a1' };
    const decision = await proposals.propose({ id: 'd', participants: agents, proposal });
    expect(decision).toMatchObject({ id: 'd', accepted: true, outcome: 'accepted', value: proposal });
    expect(decision.decidedAt).toBe(mesh.clock.wallNow());
    const { needed, counts, total, choices } = decision.tally;
    expect({ needed, counts, total, choices: choices.map(({ count }) => count) }).toEqual({
      needed: 2,
      counts: 'weight',
      total: 3,
      choices: [2],
    });
    const rejection = decision.votes.find(({ agent }) => agent === 'a1');
    if (rejection !== undefined) expect(rejection).toMatchObject({ accept: false, value: undefined, reason: 'busy' });
    expect(await mesh.at(2).proposals.decision('d')).toMatchObject({ ...decision, certificate: expect.any(Function) });
  });

  it('is a value of the voters where enough of them prefer the same', async () => {
    const mesh = new Mesh(3);
    mesh.voter(0, yes);
    for (const index of [1, 2]) mesh.voter(index, () => ({ accept: true, value: { owner: 'a2', of: [1, 2] } }));
    const decision = await mesh.at(0).proposals.propose({ participants: agents, proposal: { owner: 'a0' } });
    expect(decision).toMatchObject({ accepted: true, value: { owner: 'a2', of: [1, 2] } });
  });

  it('falls at the deadline, naming who was silent', async () => {
    const mesh = new Mesh(3);
    mesh.voter(0, yes);
    const deciding = mesh.at(1).proposals.propose({ participants: agents, proposal: 1, deadlineMs: 700 });
    await mesh.pass(699);
    expect(await mesh.at(0).proposals.openProposals()).toHaveLength(1);
    await mesh.pass(1);
    const decision = await deciding;
    expect(decision).toMatchObject({ accepted: false, outcome: 'expired', value: undefined, missing: ['a1', 'a2'] });
    expect(decision.votes.map(({ agent, value }) => [agent, value])).toEqual([['a0', 1]]);
  });

  it('is a rejection as soon as it cannot be another', async () => {
    const mesh = new Mesh(3);
    mesh.voter(0, no);
    const rule = 'unanimous';
    const decision = await mesh.at(0).proposals.propose({ participants: agents, proposal: 1, rule });
    expect(decision).toMatchObject({ accepted: false, outcome: 'rejected', missing: ['a1', 'a2'] });
  });

  it('needs a majority of each zone where zones are named', async () => {
    const mesh = new Mesh(3); // a0 and a2 in eu, a1 in us.
    mesh.voter(0, yes);
    mesh.voter(2, yes);
    const deciding = mesh
      .at(0)
      .proposals.propose({ participants: agents, proposal: 1, zones: ['us'], deadlineMs: 500 });
    await mesh.pass(100);
    expect(await mesh.at(0).proposals.openProposals({ agent: 'a1' })).toHaveLength(1);
    mesh.voter(1, yes);
    expect(await deciding).toMatchObject({ accepted: true, missing: [] });
  });

  it('is told to whoever waits for it, and not settled before', async () => {
    const mesh = new Mesh(2);
    const deciding = mesh
      .at(0)
      .proposals.propose({ id: 'd', participants: ['a0', 'a1'], proposal: 1, rule: { quorum: 1 } });
    await settle();
    const elsewhere = mesh.at(1).proposals;
    await expect(elsewhere.decision('d')).rejects.toMatchObject({ code: 'NOT_SETTLED', data: { id: 'd' } });
    const waiting = elsewhere.decision('d', { waitMs: 10_000 });
    const tooShort = elsewhere.decision('d', { waitMs: 10 });
    const withdrawn = elsewhere.decision('d', { waitMs: 10_000, signal: AbortSignal.abort(new Error('enough')) });
    await expect(withdrawn).rejects.toThrow('enough');
    const both = Promise.allSettled([tooShort, mesh.pass(20)]);
    expect((await both)[0]).toMatchObject({ status: 'rejected', reason: { code: 'NOT_SETTLED' } });
    await elsewhere.vote('d', { as: 'a1', accept: true });
    expect((await waiting).votes).toEqual((await deciding).votes);
    await expect(elsewhere.decision('nothing', { waitMs: 1_000 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is forgotten after a while', async () => {
    const mesh = new Mesh(1);
    mesh.voter(0, yes);
    await mesh.at(0).proposals.propose({ id: 'd', participants: ['a0'], proposal: 1 });
    await mesh.pass(599_999);
    expect((await mesh.at(0).proposals.decision('d')).accepted).toBe(true);
    await mesh.pass(1);
    await expect(mesh.at(0).proposals.decision('d')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('has a certificate for those who were not there', async () => {
    const { tools, clock } = localNode([new ProposalsReducer()]);
    const proposals = new OrderedProposals({ ...tools, locate: () => ({ node: tools.self, zone: 'z' }) });
    proposals.voter('ann', () => ({ accept: true, value: 'other' }));
    const decision = await proposals.propose({
      id: 'd',
      participants: ['ann', 'bob'],
      proposal: 'plan',
      rule: { quorum: 1 },
    });
    const proved = verifyDecision(await decision.certificate(), { local: tools.self });
    const { certificate: _, ...said } = decision;
    expect(proved).toMatchObject({ ...said, epoch: 0, signers: [tools.self] });
    expect(proved).toMatchObject({
      value: 'other',
      missing: ['bob'],
      proposal: { proposal: 'plan', rule: { quorum: 1 } },
    });
    expect(clock.timers).toBe(2); // The rereading of voters, and the forgetting of the decision.
    proposals.stop();
    expect(clock.timers).toBe(1);
  });
});

describe('proposing', () => {
  it('refuses what it cannot mean', async () => {
    const { proposals } = new Mesh(3).at(0);
    const wrong = (options: object) => proposals.propose({ participants: agents, proposal: 1, ...options });
    await expect(wrong({ participants: ['a0', 'ghost', 'spirit'] })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      data: { agents: ['ghost', 'spirit'] },
    });
    await expect(wrong({ participants: [] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(wrong({ participants: ['a0', { agent: 'a1', weight: 0.5 }], deadlineMs: -1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      data: { fields: { 'participants.1.weight': expect.any(String), deadlineMs: expect.any(String) } },
    });
    await expect(wrong({ rule: 'most' })).rejects.toThrow(/rule must be 'majority'/);
    await expect(wrong({ zones: ['ap'] })).rejects.toThrow(/nobody takes part in zone 'ap'/);
    await expect(wrong({ participants: ['a0', 'a0'] })).rejects.toThrow(/named twice/);
    await expect(wrong({ proposal: 'x'.repeat(40_000) })).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
    await expect(wrong({ proposal: () => 1 })).rejects.toMatchObject({ code: 'UNSUPPORTED_VALUE' });
    expect(await proposals.openProposals()).toEqual([]);
  });

  it('behaviour 22: says how many participants a Byzantine rule needs', async () => {
    const { proposals } = new Mesh(3).at(0);
    const refused = proposals.propose({ participants: agents, proposal: 1, rule: { byzantine: 1 } });
    await expect(refused).rejects.toMatchObject({
      code: 'TOO_FEW_PARTICIPANTS',
      data: { minimum: 4, actual: 3, f: 1 },
    });
    await expect(refused).rejects.toThrow(/at least 4 participants; there are 3/);
  });

  it('the same id with the same terms is the same proposal; with others it is taken', async () => {
    const mesh = new Mesh(3);
    const terms = { id: 'd', participants: agents, proposal: 1 };
    const first = mesh.at(0).proposals.propose(terms);
    const second = mesh.at(1).proposals.propose(terms);
    await settle();
    await expect(mesh.at(2).proposals.propose({ ...terms, proposal: 2 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      data: { id: 'd' },
    });
    mesh.voter(0, yes);
    mesh.voter(2, yes);
    expect((await first).votes).toEqual((await second).votes);
  });

  it('takes weights, nodes and zones as given, and the rest from the registry', async () => {
    const mesh = new Mesh(2);
    const participants = ['a0', { agent: 'a1', weight: 5 }, { agent: 'robot', node: mesh.at(1).id }];
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants, proposal: 1 });
    await settle();
    const [open] = await mesh.at(1).proposals.openProposals({ agent: 'robot' });
    expect(open?.participants).toEqual([
      { agent: 'a0', node: mesh.at(0).id, zone: 'eu', weight: 1 },
      { agent: 'a1', node: mesh.at(1).id, zone: 'us', weight: 5 },
      { agent: 'robot', node: mesh.at(1).id, zone: 'default', weight: 1 },
    ]);
    mesh.voter(1, yes);
    expect((await deciding).tally).toMatchObject({ needed: 4, total: 7 });
  });

  it('withdraws the proposal when its signal aborts', async () => {
    const mesh = new Mesh(2);
    const asked = Promise.withResolvers<AbortSignal>();
    mesh.voter(1, (_, { signal }) => {
      asked.resolve(signal);
      return new Promise(() => undefined);
    });
    const controller = new AbortController();
    const { signal } = controller;
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants: ['a0', 'a1'], proposal: 1, signal });
    const thinking = await asked.promise;
    controller.abort(new Error('changed my mind'));
    await expect(deciding).rejects.toThrow('changed my mind');
    await settle();
    expect(await mesh.at(1).proposals.decision('d')).toMatchObject({ outcome: 'withdrawn', missing: ['a0', 'a1'] });
    expect(thinking.aborted).toBe(true); // The voter need not think on.
    await expect(mesh.at(0).proposals.propose({ participants: ['a0'], proposal: 1, signal })).rejects.toThrow(
      'changed',
    );
  });
});

describe('when validators fail', () => {
  it('NO_QUORUM: nothing was proposed', async () => {
    const mesh = new Mesh(1);
    mesh.order.fail(mesh.at(0).id, 'before');
    await expect(mesh.at(0).proposals.propose({ participants: ['a0'], proposal: 1 })).rejects.toMatchObject({
      code: 'NO_QUORUM',
    });
    expect(await mesh.at(0).proposals.openProposals()).toEqual([]);
  });

  it('an unknown outcome is asked again until it is known: the proposal is made once', async () => {
    const mesh = new Mesh(2);
    mesh.order.fail(mesh.at(0).id, 'after', 'later', 'before');
    mesh.voter(1, yes);
    const deciding = mesh.at(0).proposals.propose({ participants: ['a1'], proposal: 1 });
    await mesh.pass(1_000);
    mesh.order.runLate();
    expect(await deciding).toMatchObject({ accepted: true });
  });

  it('UNKNOWN_OUTCOME when it stays unknown to the end, and the decision can be asked for later', async () => {
    const mesh = new Mesh(1);
    mesh.order.fail(mesh.at(0).id, ...Array(20).fill('later'));
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants: ['a0'], proposal: 1, deadlineMs: 1_000 });
    const refused = expect(deciding).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME', data: { id: 'd' } });
    await mesh.pass(2_000);
    await refused;
    mesh.order.heal(mesh.at(0).id);
    mesh.order.runLate();
    await mesh.at(0).proposals.vote('d', { as: 'a0', accept: true });
    expect(await mesh.at(0).proposals.decision('d')).toMatchObject({ accepted: true });
  });

  it('a decision nobody hears of is read', async () => {
    const mesh = new Mesh(2);
    mesh.order.deafen(mesh.at(0).id);
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants: ['a1'], proposal: 1 });
    await settle();
    await mesh.at(1).proposals.vote('d', { as: 'a1', accept: true });
    await mesh.pass(2_000);
    expect(await deciding).toMatchObject({ accepted: true });
  });

  it('validators that fall silent before the decision leave it unknown, a while after the deadline', async () => {
    const mesh = new Mesh(2);
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants: ['a1'], proposal: 1, deadlineMs: 1_000 });
    const refused = expect(deciding).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME', data: { id: 'd' } });
    await settle();
    mesh.order.fail(mesh.at(0).id, 'before');
    mesh.order.deafen(mesh.at(0).id);
    await mesh.clock.advance(6_000); // No tick: nobody orders anything.
    await refused;
  });
});

describe('voters', () => {
  it('answer what was open before they came, and what they missed', async () => {
    const mesh = new Mesh(3);
    const seen: Proposal[] = [];
    const { proposals } = mesh.at(2);
    const first = proposals.propose({ id: 'd1', participants: ['a0'], proposal: { n: 1 } });
    await settle();
    mesh.voter(0, (proposal) => {
      seen.push(proposal);
      return true;
    });
    expect(await first).toMatchObject({ accepted: true });
    mesh.order.deafen(mesh.at(0).id);
    const second = proposals.propose({ id: 'd2', participants: ['a0'], proposal: { n: 2 } });
    await settle();
    mesh.order.undeafen(mesh.at(0).id, { gap: true });
    expect(await second).toMatchObject({ accepted: true });
    mesh.order.deafen(mesh.at(0).id);
    const third = proposals.propose({ id: 'd3', participants: ['a0'], proposal: { n: 3 }, deadlineMs: 60_000 });
    await mesh.pass(30_000); // It missed something and does not know.
    expect(await third).toMatchObject({ accepted: true });
    expect(seen.map(({ id, proposal }) => [id, proposal])).toEqual([
      ['d1', { n: 1 }],
      ['d2', { n: 2 }],
      ['d3', { n: 3 }],
    ]);
    expect(seen[0]).toMatchObject({ proposer: mesh.at(2).id, rule: 'majority', zones: [], votes: [] });
  });

  it('are asked once, however often they hear of it', async () => {
    const mesh = new Mesh(2);
    let asked = 0;
    const answer = Promise.withResolvers<boolean>();
    mesh.voter(0, () => {
      asked += 1;
      return answer.promise;
    });
    const deciding = mesh.at(1).proposals.propose({ id: 'd', participants: ['a0'], proposal: 1, deadlineMs: 200_000 });
    for (let round = 0; round < 3; round++) {
      await mesh.pass(31_000);
      mesh.order.undeafen(mesh.at(0).id, { gap: true });
      await settle();
    }
    answer.resolve(true);
    expect(await deciding).toMatchObject({ accepted: true });
    expect(asked).toBe(1);
  });

  it('that throw are reported and count as silent', async () => {
    const mesh = new Mesh(2);
    let asked = 0;
    mesh.voter(0, () => {
      asked += 1;
      throw new Error('no opinion');
    });
    mesh.voter(1, (() => 'maybe') as unknown as Voter);
    const deciding = mesh.at(1).proposals.propose({ participants: ['a0', 'a1'], proposal: 1, deadlineMs: 40_000 });
    await mesh.pass(40_000);
    expect(await deciding).toMatchObject({ outcome: 'expired', missing: ['a0', 'a1'] });
    expect(asked).toBe(1);
    expect(mesh.at(0).errors.map(({ error }) => (error as Error).message)).toEqual(['no opinion']);
    expect(mesh.at(1).errors[0]?.error).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('bring their vote again until it is known to be counted', async () => {
    const mesh = new Mesh(2);
    mesh.order.fail(mesh.at(0).id, 'later', 'before', 'after');
    mesh.voter(0, yes);
    await settle();
    const deciding = mesh.at(1).proposals.propose({ participants: ['a0', 'a1'], proposal: 1, deadlineMs: 60_000 });
    await mesh.pass(20_000);
    expect(await mesh.at(1).proposals.openProposals()).toMatchObject([{ votes: [{ agent: 'a0', accept: true }] }]);
    mesh.voter(1, yes);
    await deciding;
    mesh.order.runLate();
    expect(mesh.at(0).errors).toEqual([]);
  });

  it('answer for their node only', async () => {
    const mesh = new Mesh(2);
    const asked: string[] = [];
    mesh.at(0).proposals.voter('a1', ({ id }) => {
      asked.push(id);
      return true;
    });
    const deciding = mesh
      .at(0)
      .proposals.propose({ id: 'd', participants: ['a0', 'a1'], proposal: 1, deadlineMs: 100 });
    await mesh.pass(100);
    expect(await deciding).toMatchObject({ outcome: 'expired' });
    expect(asked).toEqual([]);
  });

  it('are one per agent, and stop when removed', async () => {
    const mesh = new Mesh(1);
    const remove = mesh.voter(0, yes);
    expect(() => mesh.voter(0, no)).toThrow(expect.objectContaining({ code: 'ALREADY_EXISTS' }));
    expect(() => mesh.at(0).proposals.voter('', yes)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    remove();
    const deciding = mesh.at(0).proposals.propose({ participants: ['a0'], proposal: 1, deadlineMs: 100 });
    await settle();
    mesh.voter(0, no);
    remove(); // Of the former: does nothing to its successor.
    expect(await deciding).toMatchObject({ outcome: 'rejected' });
    mesh.at(0).proposals.stop();
    expect(mesh.at(0).errors).toEqual([]);
  });

  it('are asked a bounded number at a time, and all in the end', async () => {
    const mesh = new Mesh(2);
    let thinking = 0;
    let most = 0;
    mesh.voter(0, async () => {
      thinking += 1;
      most = Math.max(most, thinking);
      await settle();
      thinking -= 1;
      return true;
    });
    const deciding = Array.from({ length: 400 }, (_, index) =>
      mesh.at(1).proposals.propose({ id: `d${index}`, participants: ['a0'], proposal: index }),
    );
    for (const decision of await Promise.all(deciding)) expect(decision.accepted).toBe(true);
    expect(most).toBe(256);
  });
});

describe('voting by hand', () => {
  it('behaviour 23: counts from the node of the agent, once', async () => {
    const mesh = new Mesh(3);
    const deciding = mesh
      .at(0)
      .proposals.propose({ id: 'd', participants: agents, proposal: 1, rule: 'unanimous', deadlineMs: 100 });
    await settle();
    const vote = (at: number, as: AgentId, accept = true) => mesh.at(at).proposals.vote('d', { as, accept });
    await vote(0, 'a0');
    await vote(0, 'a0');
    await expect(vote(0, 'a1')).rejects.toMatchObject({ code: 'NOT_PERMITTED', data: { reason: 'lives-elsewhere' } });
    await expect(vote(0, 'mal')).rejects.toMatchObject({
      code: 'NOT_PERMITTED',
      data: { reason: 'not-a-participant' },
    });
    await expect(vote(0, 'a0', false)).rejects.toMatchObject({
      code: 'NOT_PERMITTED',
      data: { reason: 'voted-already' },
    });
    await expect(mesh.at(0).proposals.vote('x', { as: 'a0', accept: true })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    // The agent moves: what was fixed at the opening stays.
    mesh.homes.set('a1', { node: mesh.at(2).id, zone: 'eu' });
    await expect(vote(2, 'a1')).rejects.toMatchObject({ data: { reason: 'lives-elsewhere', node: mesh.at(1).id } });
    const [open] = await mesh.at(2).proposals.openProposals();
    expect(open?.votes.map(({ agent }) => agent)).toEqual(['a0']);
    await mesh.pass(100);
    expect(await deciding).toMatchObject({ outcome: 'expired', missing: ['a1', 'a2'] });
    await expect(vote(2, 'a2')).rejects.toMatchObject({ code: 'NOT_PERMITTED', data: { reason: 'decided' } });
  });

  it('asks again while the outcome is unknown', async () => {
    const mesh = new Mesh(1);
    const deciding = mesh.at(0).proposals.propose({ id: 'd', participants: ['a0'], proposal: 1 });
    await settle();
    mesh.order.fail(mesh.at(0).id, 'after');
    const voting = mesh.at(0).proposals.vote('d', { as: 'a0', accept: true, reason: `${'long '.repeat(100)}\ud83d` });
    await mesh.pass(200);
    await voting;
    expect((await deciding).votes[0]?.reason).toHaveLength(128);
  });
});
