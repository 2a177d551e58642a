/**
 * What every implementation of `Proposals` must do, as cases for any test runner; in one process and across nodes.
 *
 * @example
 * import { test } from 'node:test';
 * import { proposalConformance } from 'quorate/conformance';
 * proposalConformance({ test, create: async () => ({ nodes: [one, two, three], trust, stop }) });
 */
import assert from 'node:assert/strict';
import type { NodeId } from '../node-id.ts';
import {
  certificateFromJson,
  certificateToJson,
  decodeCertificate,
  encodeCertificate,
} from '../protocols/coordination/certificates/certificate-codec.ts';
import type { CertificateTrust } from '../protocols/coordination/certificates/verify.ts';
import { verifyDecision } from '../protocols/coordination/proposals/decisions.ts';
import type { Decision, Proposals } from '../protocols/coordination/proposals/proposals.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

/** One node of a fresh mesh, or one process that stands for all. */
export interface ProposalNode {
  readonly proposals: Proposals;
  readonly self: NodeId;
  /** Registers an agent here; resolves when all nodes know of it. */
  register(agent: string): Promise<void>;
}

export interface ProposalSubject {
  /** At least one. Nothing is registered or proposed. */
  readonly nodes: readonly [ProposalNode, ...ProposalNode[]];
  /** What somebody outside has to know to check certificates. */
  trust(): CertificateTrust;
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export type ProposalConformanceOptions = ConformanceOptions<ProposalSubject>;

/** Declares all cases with `test`. */
export function proposalConformance(options: ProposalConformanceOptions): void {
  declareCases(options, cases);
}

const generousMs = 30_000;
const agents = ['ann', 'bob', 'cem', 'dan'];

/** The node of the agent of that number; agents are spread over the nodes. */
const home = ({ nodes }: ProposalSubject, index: number): ProposalNode => nodes[index % nodes.length] as ProposalNode;

async function registerAll(subject: ProposalSubject): Promise<void> {
  for (const [index, agent] of agents.entries()) await home(subject, index).register(agent);
}

/** The decision without what cannot be compared. */
function told({ certificate: _, ...rest }: Decision): Omit<Decision, 'certificate'> {
  return rest;
}

const cases: Readonly<Record<string, (subject: ProposalSubject) => Promise<void>>> = {
  'voters on all nodes make a decision, and every node says the same': async (subject) => {
    await registerAll(subject);
    for (const [index, agent] of agents.entries()) {
      home(subject, index).proposals.voter(agent, ({ proposal }) => ({ accept: index > 0, reason: String(proposal) }));
    }
    const last = subject.nodes.at(-1) as ProposalNode;
    const decision = await last.proposals.propose({
      id: 'd',
      participants: agents,
      proposal: 'plan',
      deadlineMs: generousMs,
    });
    assert.equal(decision.accepted, true);
    assert.equal(decision.value, 'plan');
    const [choice] = decision.tally.choices;
    assert.deepEqual([choice?.value, choice?.agents, decision.tally.needed], ['plan', ['bob', 'cem', 'dan'], 3]);
    for (const node of subject.nodes) {
      assert.deepEqual(told(await node.proposals.decision('d', { waitMs: generousMs })), told(decision));
    }
  },

  'a value that enough voters name is the decision': async (subject) => {
    await registerAll(subject);
    const better = { who: 'bob', tags: ['a', 1n, new Uint8Array([7])] };
    for (const [index, agent] of agents.entries()) {
      home(subject, index).proposals.voter(agent, () => (index === 0 ? true : { accept: true, value: better }));
    }
    const rule = { byzantine: 1 };
    const { proposals } = home(subject, 0);
    const decision = await proposals.propose({
      participants: agents,
      proposal: { who: 'ann' },
      rule,
      deadlineMs: generousMs,
    });
    assert.deepEqual(decision.value, better);
    assert.equal(decision.tally.needed, 3);
  },

  'silent participants are named at the deadline': async (subject) => {
    await registerAll(subject);
    const { proposals } = home(subject, 0);
    proposals.voter('ann', () => true);
    const decision = await proposals.propose({
      participants: agents,
      proposal: 1,
      rule: 'unanimous',
      deadlineMs: 1_500,
    });
    assert.deepEqual([decision.accepted, decision.outcome, decision.value], [false, 'expired', undefined]);
    assert.deepEqual(decision.missing, ['bob', 'cem', 'dan']);
    assert.deepEqual(
      decision.votes.map(({ agent, node, value }) => [agent, node, value]),
      [['ann', home(subject, 0).self, 1]],
    );
  },

  'a rejection comes as soon as nothing can be accepted': async (subject) => {
    await registerAll(subject);
    home(subject, 1).proposals.voter('bob', () => false);
    const { proposals } = home(subject, 0);
    const asked = { participants: agents, proposal: 1, rule: 'unanimous', deadlineMs: generousMs } as const;
    assert.equal((await proposals.propose(asked)).outcome, 'rejected');
  },

  'a voter that comes late is asked about what is open': async (subject) => {
    await registerAll(subject);
    const { proposals } = home(subject, 0);
    const deciding = proposals.propose({ id: 'd', participants: ['bob'], proposal: 1, deadlineMs: generousMs });
    const waiting = home(subject, 1).proposals;
    while ((await waiting.openProposals({ agent: 'bob' })).length === 0)
      await failure('NOT_FOUND', () => waiting.decision('none'));
    await failure('NOT_SETTLED', () => waiting.decision('d'));
    const [open] = await waiting.openProposals({ agent: 'bob' });
    assert.deepEqual([open?.id, open?.proposal, open?.proposer], ['d', 1, home(subject, 0).self]);
    waiting.voter('bob', () => true);
    assert.equal((await deciding).accepted, true);
    assert.deepEqual(await waiting.openProposals(), []);
  },

  'a vote counts from the node of its agent, once, and is final': async (subject) => {
    await registerAll(subject);
    const { proposals, self } = home(subject, 0);
    const stranger = subject.nodes.at(-1) as ProposalNode;
    const participants = ['ann', { agent: 'robot', node: self }];
    const deciding = proposals.propose({
      id: 'd',
      participants,
      proposal: 1,
      rule: 'unanimous',
      deadlineMs: generousMs,
    });
    while ((await proposals.openProposals()).length === 0) await failure('NOT_FOUND', () => proposals.decision('none'));
    await proposals.vote('d', { as: 'ann', accept: true });
    await proposals.vote('d', { as: 'ann', accept: true });
    const again = await failure('NOT_PERMITTED', () => proposals.vote('d', { as: 'ann', accept: false }));
    assert.equal(again.data['reason'], 'voted-already');
    const outsider = await failure('NOT_PERMITTED', () => proposals.vote('d', { as: 'zoe', accept: true }));
    assert.equal(outsider.data['reason'], 'not-a-participant');
    if (stranger.self !== self) {
      const forged = await failure('NOT_PERMITTED', () => stranger.proposals.vote('d', { as: 'robot', accept: true }));
      assert.equal(forged.data['reason'], 'lives-elsewhere');
    }
    const [open] = await proposals.openProposals();
    assert.deepEqual(
      open?.votes.map(({ agent }) => agent),
      ['ann'],
    );
    await proposals.vote('d', { as: 'robot', accept: true });
    assert.equal((await deciding).accepted, true);
    const late = await failure('NOT_FOUND', () => proposals.vote('e', { as: 'ann', accept: true }));
    assert.equal(late.data['id'], 'e');
  },

  'an id belongs to its terms': async (subject) => {
    await registerAll(subject);
    const { proposals } = home(subject, 0);
    home(subject, 1).proposals.voter('bob', () => true);
    const terms = { id: 'd', participants: ['bob'], proposal: 1, deadlineMs: generousMs };
    const first = await proposals.propose(terms);
    const second = await home(subject, 2).proposals.propose(terms);
    assert.deepEqual(told(second), told(first));
    await failure('ALREADY_EXISTS', () => proposals.propose({ ...terms, proposal: 2 }));
  },

  'what cannot be decided is not proposed': async (subject) => {
    await registerAll(subject);
    const { proposals } = home(subject, 0);
    const unknown = await failure('NOT_FOUND', () => proposals.propose({ participants: ['ann', 'zoe'], proposal: 1 }));
    assert.deepEqual(unknown.data['agents'], ['zoe']);
    const rule = { byzantine: 2 };
    const few = await failure('TOO_FEW_PARTICIPANTS', () =>
      proposals.propose({ participants: agents, proposal: 1, rule }),
    );
    assert.deepEqual([few.data['minimum'], few.data['actual']], [7, 4]);
    await failure('INVALID_ARGUMENT', () =>
      proposals.propose({ participants: agents, proposal: 1, zones: ['nowhere'] }),
    );
    await failure('INVALID_ARGUMENT', () => proposals.propose({ participants: [], proposal: 1 }));
    assert.deepEqual(await proposals.openProposals(), []);
  },

  'who aborts withdraws the proposal for all': async (subject) => {
    await registerAll(subject);
    const { proposals } = home(subject, 0);
    const controller = new AbortController();
    const other = home(subject, 1).proposals;
    const asked = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    other.voter('bob', (_, { signal }) => {
      signal.addEventListener('abort', () => left.resolve());
      asked.resolve();
      return new Promise(() => undefined);
    });
    const { signal } = controller;
    const deciding = proposals.propose({ id: 'd', participants: ['bob'], proposal: 1, deadlineMs: generousMs, signal });
    await asked.promise;
    controller.abort(new Error('never mind'));
    await assert.rejects(deciding, /never mind/);
    assert.equal((await other.decision('d', { waitMs: generousMs })).outcome, 'withdrawn');
    await left.promise;
  },

  'a certificate proves the decision to somebody outside, also as bytes and as JSON': async (subject) => {
    await registerAll(subject);
    for (const [index, agent] of agents.entries()) {
      home(subject, index).proposals.voter(agent, () => ({ accept: true, value: 'better' }));
    }
    const decision = await home(subject, 1).proposals.propose({
      participants: agents,
      proposal: 'plan',
      deadlineMs: generousMs,
    });
    const certificate = await decision.certificate();
    const forms = [
      decodeCertificate(encodeCertificate(certificate)),
      certificateFromJson(JSON.parse(JSON.stringify(certificateToJson(certificate)))),
    ];
    for (const form of forms) {
      const { proposal, signers, epoch, ...proved } = verifyDecision(form, subject.trust());
      assert.deepEqual(proved, told(decision));
      assert.deepEqual([proposal.proposal, epoch, signers.length > 0], ['plan', 0, true]);
    }
    const other = certificate.statement.map((byte, at) => (at === 20 ? byte ^ 1 : byte));
    await failure('CERTIFICATE_INVALID', () => verifyDecision({ ...certificate, statement: other }, subject.trust()));
  },
};
