/** Proposals decided by four validators over the simulated network, seen from two of them and from a node that is a client only. */
import { describe, expect, test } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { proposalConformance } from '../../../../src/conformance/coordination-proposals.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { MachineClient } from '../../../../src/protocols/coordination/machine/machine-client.ts';
import { verifyDecision } from '../../../../src/protocols/coordination/proposals/decisions.ts';
import { OrderedProposals } from '../../../../src/protocols/coordination/proposals/ordered-proposals.ts';
import { ProposalsReducer } from '../../../../src/protocols/coordination/proposals/reducer.ts';
import { type GroupNode, GroupWorld } from '../group/group-world.ts';
import { rethrow } from '../local-tools.ts';

const reducers = () => [new ProposalsReducer()];

/** The nodes of a group with their handles; agents are where a test puts them. */
class ProposalGroup {
  readonly group: GroupWorld;
  readonly homes = new Map<string, NodeId>();

  constructor(seed: number) {
    this.group = new GroupWorld({ seed, reducers, trustChanges: true });
  }

  handle({ id, identity, ordering, network }: GroupNode): OrderedProposals {
    return new OrderedProposals({
      self: id,
      zone: 'test',
      client: new MachineClient(ordering),
      clock: network.clock,
      rng: seededRng(id.charCodeAt(20)),
      timeoutMs: 10_000,
      locate: (agent) => {
        const node = this.homes.get(agent);
        return node === undefined ? undefined : { node, zone: 'test' };
      },
      sign: (bytes) => identity.sign(bytes),
      onError: rethrow,
    });
  }

  trust() {
    const { definition } = (this.group.nodes[0] as GroupNode).ordering;
    if (definition === undefined) throw new Error('no group');
    const { name, founders, parameters } = definition;
    return { name, validators: founders.validators, f: founders.f, parameters };
  }
}

describe('proposals under validators', () => {
  let current: ProposalGroup;
  let seed = 0;
  proposalConformance({
    test: (name, body) =>
      test(name, async () => {
        seed += 1;
        current = new ProposalGroup(seed);
        await current.group.found();
        await current.group.join(1);
        await current.group.world.settled(body());
      }),
    create: async () => {
      const { group, homes } = current;
      const chosen = [0, 2, 4].map((index) => group.nodes[index] as GroupNode);
      const [first, ...rest] = chosen.map((node) => ({
        proposals: current.handle(node),
        self: node.id,
        register: async (agent: string) => void homes.set(agent, node.id),
      }));
      if (first === undefined) throw new Error('no node');
      return {
        nodes: [first, ...rest],
        trust: () => current.trust(),
        stop: async () => {
          for (const { proposals } of [first, ...rest]) proposals.stop();
        },
      };
    },
  });

  test('a decision survives the primary that is killed while agents vote, and f + 1 validators certify it', async () => {
    const proposals = new ProposalGroup(100);
    const { group, homes } = proposals;
    const nodes = await group.found();
    const client = await group.join(1);
    const { world } = group;
    const [primaryId] = [...group.founders].sort();
    const primary = nodes.find(({ id }) => id === primaryId) as GroupNode;
    const others = nodes.filter((node) => node !== primary);
    const handles = others.map((node) => proposals.handle(node));
    others.forEach((node, index) => void homes.set(`a${index}`, node.id));
    let killed = false;
    handles.forEach((handle, index) => {
      handle.voter(`a${index}`, () => {
        if (!killed) world.crash(primary.network);
        killed = true;
        return { accept: true, value: 'go on' };
      });
    });
    const participants = ['a0', 'a1', 'a2'];
    const asker = proposals.handle(client);
    const decision = await world.settled(
      asker.propose({ id: 'd', participants, proposal: 'stop', rule: 'unanimous', deadlineMs: 30_000 }),
    );
    expect(killed).toBe(true);
    expect(decision).toMatchObject({ accepted: true, value: 'go on', missing: [] });
    const certificate = await world.settled(decision.certificate());
    const proved = verifyDecision(certificate, proposals.trust());
    expect(proved).toMatchObject({ id: 'd', value: 'go on', epoch: 0 });
    expect(proved.signers.length).toBeGreaterThanOrEqual(2);
    for (const signer of proved.signers) expect(group.founders).toContain(signer);
    for (const handle of handles) handle.stop();
  });

  test('a decision taken after a change of validators is proved from the founders on', async () => {
    const proposals = new ProposalGroup(200);
    const { group, homes } = proposals;
    const nodes = await group.found();
    const { world } = group;
    const newcomer = await group.join(5);
    homes.set('ann', newcomer.id);
    const handle = proposals.handle(newcomer);
    await world.settled(handle.openProposals());
    const wanted = [...group.founders.slice(1), newcomer.id];
    await world.settled((nodes[1] as GroupNode).ordering.reconfigure(wanted, 1));
    await world.until(() => newcomer.ordering.validator?.group.epoch === 1, 60_000);
    handle.voter('ann', () => true);
    const decision = await world.settled(handle.propose({ participants: ['ann'], proposal: 1, deadlineMs: 30_000 }));
    const certificate = await world.settled(decision.certificate());
    expect(certificate).toMatchObject({ epoch: 1, succession: [expect.any(Uint8Array)] });
    const proved = verifyDecision(certificate, proposals.trust());
    expect(proved).toMatchObject({ accepted: true, value: 1, epoch: 1 });
    for (const signer of proved.signers) expect(wanted).toContain(signer);
    expect(() => verifyDecision({ ...certificate, succession: [] }, proposals.trust())).toThrow(
      expect.objectContaining({ data: { reason: 'other-epoch' } }),
    );
    handle.stop();
  });
});
