import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue } from '../../../../src/codec.ts';
import { encodePayload } from '../../../../src/payload.ts';
import { maxAnswerBytes, maxCommandBytes } from '../../../../src/protocols/coordination/machine/limits.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import {
  keepDecidedMs,
  maxBytesPerNode,
  maxDecided,
  maxOpenPerNode,
  maxParticipants,
  voteBytes,
} from '../../../../src/protocols/coordination/proposals/commands.ts';
import { ProposalsReducer } from '../../../../src/protocols/coordination/proposals/reducer.ts';
import { answerIn, node, openCommand, Table } from './table.ts';

const three = ['ann@0', 'bob@1', 'cem@2'];

describe('a proposal', () => {
  it('is accepted by the vote that makes the majority, and later votes change nothing', () => {
    const table = new Table();
    expect(table.open({ participants: three })).toBe('open');
    expect(table.vote('ann@0 yes')).toBe('open');
    expect(table.vote('bob@1 yes')).toBe('accepted');
    expect(table.vote('cem@2 no')).toBe('NOT_PERMITTED decided');
    const record = table.record();
    expect(record).toMatchObject({ state: 'accepted', decidedAt: table.time });
    expect(record?.value).toBeUndefined(); // The proposal as it is.
    expect(record?.participants.map(({ vote }) => vote?.accept)).toEqual([true, true, undefined]);
  });

  it('is rejected as soon as no value can get there any more', () => {
    const table = new Table();
    table.open({ participants: three });
    expect(table.vote('ann@0 no')).toBe('open');
    expect(table.vote('bob@1 yes')).toBe('open');
    expect(table.vote('cem@2 another')).toBe('rejected'); // 1 + 1 + a rejection: nothing has two.
  });

  it('expires at its deadline, with those who were silent', () => {
    const table = new Table();
    table.open({ participants: three, deadlineMs: 500 });
    table.vote('ann@0 yes');
    table.pass(499);
    expect(table.state()).toBe('open');
    table.pass(1);
    expect(table.record()).toMatchObject({ state: 'expired', decidedAt: table.time });
    expect(table.vote('bob@1 yes')).toBe('NOT_PERMITTED decided');
  });

  it('groups votes by value, and the value that gets there is the decision', () => {
    const table = new Table();
    table.open({ participants: [...three, 'dan@3', 'eve@4'] });
    table.vote('ann@0 yes');
    table.vote('bob@1 other');
    table.vote('cem@2 other');
    expect(table.vote('dan@3 yes')).toBe('open');
    expect(table.vote('eve@4 other')).toBe('accepted');
    expect(decodeValue(table.record()?.value ?? new Uint8Array())).toEqual({ ok: true, value: 'other' });
  });

  it('takes a vote for the value of the proposal as a vote for the proposal as it is', () => {
    const table = new Table();
    table.open({ participants: three, proposal: 'plan' });
    table.vote('ann@0 plan');
    expect(table.vote('bob@1 yes')).toBe('accepted');
    expect(table.vote('ann@0 yes')).toBe('accepted'); // The same vote again.
  });

  it('is withdrawn by its proposer only, and not after the decision', () => {
    const table = new Table();
    table.open({ participants: three }, 5);
    expect(table.submit(0, { kind: 'proposals.withdraw', ...{ id: 'p' } })).toBe('NOT_PERMITTED not-the-proposer');
    expect(table.submit(5, { kind: 'proposals.withdraw', ...{ id: 'p' } })).toBe('withdrawn');
    expect(table.submit(5, { kind: 'proposals.withdraw', ...{ id: 'p' } })).toBe('withdrawn');
    expect(table.submit(5, { kind: 'proposals.withdraw', ...{ id: 'q' } })).toBe('NOT_FOUND');
    table.open({ id: 'q', participants: ['ann@0'] }, 5);
    table.vote('ann@0 yes', 'q');
    expect(table.submit(5, { kind: 'proposals.withdraw', ...{ id: 'q' } })).toBe('accepted');
  });

  it('may be opened again with the same terms, by anybody, and not with others', () => {
    const table = new Table();
    expect(table.open({ participants: three })).toBe('open');
    expect(table.open({ participants: three }, 7)).toBe('open');
    expect(table.open({ participants: three, proposal: 'trap' })).toBe('ALREADY_EXISTS');
    expect(table.open({ participants: ['ann@0', 'bob@1', 'cem@3'] })).toBe('ALREADY_EXISTS');
    expect(table.open({ participants: three, rule: 'unanimous' })).toBe('ALREADY_EXISTS');
    expect(table.open({ participants: three, deadlineMs: 1_001 })).toBe('ALREADY_EXISTS');
    table.vote('ann@0 yes');
    table.vote('bob@1 yes');
    expect(table.open({ participants: three })).toBe('accepted');
    expect(table.record()?.proposer).toBe(node(0));
  });
});

describe('behaviour 23: a forged, duplicate or non-member vote is refused, and the tally stays', () => {
  it('counts a vote for an agent from its node only, once', () => {
    const table = new Table();
    table.open({ participants: three, rule: 'unanimous' });
    table.vote('ann@0 yes');
    const before = table.machine.snapshot();
    expect(table.vote('bob@0 yes')).toBe('NOT_PERMITTED lives-elsewhere');
    expect(table.vote('bob@9 yes')).toBe('NOT_PERMITTED lives-elsewhere');
    expect(table.vote('mal@0 yes')).toBe('NOT_PERMITTED not-a-participant');
    expect(table.vote('ann@0 no')).toBe('NOT_PERMITTED voted-already');
    expect(table.vote('ann@0 other')).toBe('NOT_PERMITTED voted-already');
    expect(table.vote('ann@0 yes')).toBe('open');
    expect(table.vote('ann@0 yes', 'q')).toBe('NOT_FOUND');
    expect(table.machine.snapshot()).toEqual(before);
  });

  it('does not take bytes that are no value, or a value with a rejection', () => {
    const table = new Table();
    table.open({ participants: three });
    const vote = { kind: 'proposals.vote', id: 'p', agent: 'ann' };
    const before = table.machine.snapshot();
    expect(table.submit(0, { ...vote, ...{ accept: true, value: Uint8Array.of(0xff) } })).toMatch(/^INVALID_ARGUMENT/);
    expect(table.submit(0, { ...vote, ...{ accept: false, value: encodeValue(1) } })).toMatch(/^INVALID_ARGUMENT/);
    expect(table.submit(0, { ...vote, ...{ accept: true, extra: 1 } })).toMatch(/^INVALID_ARGUMENT/);
    expect(table.machine.snapshot()).toEqual(before);
  });
});

describe('rules', () => {
  it('majority goes by weight', () => {
    const table = new Table();
    table.open({ participants: ['ann@0*3', 'bob@1*2', 'cem@2*2'] });
    expect(table.vote('ann@0 yes')).toBe('open'); // 3 of 7.
    expect(table.vote('cem@2 yes')).toBe('accepted');
  });

  it('half is no majority', () => {
    const table = new Table();
    table.open({ participants: ['ann@0', 'bob@1'] });
    table.vote('ann@0 yes');
    expect(table.vote('bob@1 no')).toBe('rejected');
  });

  it('unanimous ends with the first rejection', () => {
    const table = new Table();
    table.open({ participants: three, rule: 'unanimous' });
    table.vote('ann@0 yes');
    expect(table.vote('bob@1 no')).toBe('rejected');
  });

  it('quorum counts heads, whatever their weight', () => {
    const table = new Table();
    table.open({ participants: ['ann@0*9', 'bob@1', 'cem@2'], rule: { quorum: 2 } });
    expect(table.vote('ann@0 yes')).toBe('open');
    expect(table.vote('cem@2 yes')).toBe('accepted');
  });

  it('weighted needs that much weight', () => {
    const table = new Table();
    table.open({ participants: ['ann@0*9', 'bob@1', 'cem@2'], rule: { weighted: 10 } });
    expect(table.vote('ann@0 yes')).toBe('open');
    expect(table.vote('cem@2 yes')).toBe('accepted');
    const impossible = table.open({ id: 'q', participants: ['ann@0*9'], rule: { weighted: 10 } });
    expect(impossible).toMatch(/^INVALID_ARGUMENT all participants together/);
  });

  it('byzantine needs more than two thirds alike: four with one liar, three votes', () => {
    const table = new Table();
    table.open({ participants: [...three, 'dan@3'], rule: { byzantine: 1 } });
    table.vote('ann@0 yes');
    table.vote('bob@1 yes');
    table.vote('cem@2 lie');
    expect(table.state()).toBe('open');
    expect(table.vote('dan@3 yes')).toBe('accepted');
  });

  it('behaviour 22: n < 3f + 1 is refused with minimum and actual', () => {
    const table = new Table();
    const answer = table.answer(0, openCommand({ participants: three, rule: { byzantine: 1 } }));
    expect(answer).toEqual({ ok: false, code: 'TOO_FEW_PARTICIPANTS', data: { minimum: 4, actual: 3, f: 1 } });
    const quorum = table.answer(0, openCommand({ participants: three, rule: { quorum: 4 } }));
    expect(quorum).toEqual({ ok: false, code: 'TOO_FEW_PARTICIPANTS', data: { minimum: 4, actual: 3 } });
    expect(table.listed()).toEqual([]);
  });

  it('refuses participants named twice, a zone without participants, and bytes that are no value', () => {
    const table = new Table();
    expect(table.open({ participants: ['ann@0', 'ann@1'] })).toBe('INVALID_ARGUMENT a participant is named twice');
    expect(table.open({ participants: three, zones: ['eu'] })).toBe("INVALID_ARGUMENT nobody takes part in zone 'eu'");
    expect(table.open({ participants: three, zones: ['z', 'z'] })).toBe('INVALID_ARGUMENT a zone is named twice');
    const bytes = { ...openCommand({ participants: three }), proposal: Uint8Array.of(0xff) };
    expect(table.submit(0, bytes)).toBe('INVALID_ARGUMENT the proposal is no value');
  });
});

describe('zones', () => {
  const spread = ['ann@0/eu', 'bob@1/eu', 'cem@2/eu', 'dan@3/us', 'eve@4/us', 'fay@5/us'];

  it('each named zone must have its own majority for the same value', () => {
    const table = new Table();
    table.open({ participants: [...spread, 'gil@6/ap'], zones: ['eu', 'us'] });
    for (const vote of ['ann@0 yes', 'bob@1 yes', 'cem@2 yes', 'gil@6 yes']) expect(table.vote(vote)).toBe('open');
    expect(table.vote('dan@3 yes')).toBe('open'); // 5 of 7, but one of three in us.
    expect(table.vote('eve@4 yes')).toBe('accepted');
  });

  it('a zone that cannot agree any more ends it', () => {
    const table = new Table();
    table.open({ participants: spread, zones: ['eu', 'us'], rule: { quorum: 2 } });
    table.vote('dan@3 no');
    expect(table.vote('eve@4 no')).toBe('rejected');
  });

  it('goes by weight within the zone', () => {
    const table = new Table();
    table.open({ participants: ['ann@0*5/eu', 'bob@1/eu', 'cem@2/eu'], zones: ['eu'], rule: { quorum: 2 } });
    table.vote('bob@1 yes');
    expect(table.vote('cem@2 yes')).toBe('open'); // Two heads, weight 2 of 7.
    expect(table.vote('ann@0 yes')).toBe('accepted');
  });
});

describe('who hears what', () => {
  it('nodes hear of proposals for their agents, once each; the decision is told in full', () => {
    const table = new Table();
    table.open({ participants: ['ann@0', 'bob@0', 'cem@2'] });
    expect(table.events.map(({ topic }) => topic)).toEqual([`proposals/node/${node(0)}`, `proposals/node/${node(2)}`]);
    table.vote('ann@0 yes');
    expect(table.events).toHaveLength(2);
    table.vote('cem@2 yes');
    expect(table.events.slice(2).map(({ topic }) => topic)).toEqual([
      'proposals/decision/p',
      `proposals/node/${node(0)}`,
      `proposals/node/${node(2)}`,
    ]);
  });

  it('lists what is open, by agent and by node, in pages', () => {
    const table = new Table();
    for (let index = 0; index < 101; index++)
      table.open({ id: `p${index}`, participants: ['ann@0', `bob@${index % 2}`] });
    expect(table.listed()).toHaveLength(100);
    expect(table.listed({ after: 100 })).toEqual(['p100']);
    expect(table.listed({ agent: 'bob', node: node(1) })).toHaveLength(50);
    expect(table.listed({ node: node(1) })).toHaveLength(50);
    expect(table.listed({ agent: 'ann', after: 99 })).toEqual(['p99', 'p100']);
    expect(table.listed({ agent: 'zoe' })).toEqual([]);
    table.pass(1_000);
    expect(table.listed({ agent: 'ann' })).toEqual([]);
  });
});

describe('bounds', () => {
  it('forgets decisions after ten minutes of agreed time', () => {
    const table = new Table();
    table.open({ participants: ['ann@0'] });
    table.vote('ann@0 yes');
    table.pass(keepDecidedMs - 1);
    expect(table.state()).toBe('accepted');
    table.pass(1);
    expect(table.state()).toBe('unknown');
    expect(table.machine.nextDeadline()).toBeUndefined();
  });

  it('keeps so many decisions and no more', () => {
    const table = new Table();
    for (let index = 0; index <= maxDecided; index++) {
      table.open({ id: `p${index}`, participants: ['ann@0'] });
      table.vote('ann@0 yes', `p${index}`);
    }
    expect([table.state('p0'), table.state('p1'), table.state(`p${maxDecided}`)]).toEqual([
      'unknown',
      'accepted',
      'accepted',
    ]);
  });

  it('refuses more open proposals of one node, not of another', () => {
    const table = new Table();
    for (let index = 0; index < maxOpenPerNode; index++) table.open({ id: `p${index}`, participants: ['ann@0'] });
    expect(table.open({ id: 'q', participants: ['ann@0'] })).toBe('LIMIT_EXCEEDED');
    expect(table.open({ id: 'q', participants: ['ann@0'] }, 1)).toBe('open');
  });

  it('bounds the bytes of one node, and makes room for open ones by forgetting decisions', () => {
    const table = new Table();
    const proposal = 'x'.repeat(30_000);
    let opened = 0;
    while (table.open({ id: `p${opened}`, participants: ['ann@0'], proposal }) === 'open') opened += 1;
    expect(opened).toBe(Math.floor(maxBytesPerNode / 30_681)); // Room of one proposal: value, agent, fixed costs.
    // Decided, they are no longer charged to the node; when all memory is used, the oldest go.
    for (let round = 0; round < 6; round++) {
      for (let index = 0; index < opened; index++) {
        const id = `r${round}-${index}`;
        expect(table.open({ id, participants: ['ann@0'], proposal }, 1)).toBe('open');
        table.vote('ann@0 yes', id);
      }
    }
    expect(table.state('r0-0')).toBe('unknown');
    expect(table.state(`r5-${opened - 1}`)).toBe('accepted');
    expect(table.state('p0')).toBe('open');
  });

  it('gives each voter its part of the room for values', () => {
    const table = new Table();
    table.open({ participants: three });
    const limit = voteBytes(3);
    const vote = { kind: 'proposals.vote', id: 'p', agent: 'ann', accept: true };
    const value = encodeValue('x'.repeat(limit));
    expect(table.answer(0, { ...vote, ...{ value } })).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', data: { limit } });
    const fits = encodeValue('x'.repeat(limit - 3));
    expect(fits.length).toBe(limit);
    // The reason has no room beside it, and the vote counts without.
    expect(table.submit(0, { ...vote, ...{ value: fits, reason: 'why' } })).toBe('open');
    expect(table.record()?.participants[0]?.vote).toEqual({ accept: true, at: table.time, value: fits });
  });

  it('the largest decision there can be fits into an answer, an event and a certificate', () => {
    const table = new Table();
    const agents = (name: number) =>
      Array.from({ length: maxParticipants }, (_, at) => `a${at}_${'x'.repeat(name)}@${at}`);
    const participants = agents(118);
    const command = openCommand({ id: 'i'.repeat(256), participants, proposal: 'x'.repeat(12_000), rule: 'unanimous' });
    const size = encodePayload(command, 1 << 20).length;
    expect(size).toBeGreaterThan(maxCommandBytes - 6_000);
    expect(size).toBeLessThanOrEqual(maxCommandBytes);
    expect(table.submit(0, command)).toBe('open');
    const { id } = command;
    const value = encodeValue('y'.repeat(voteBytes(maxParticipants) - 2));
    for (const { agent } of command.participants) {
      const from = command.participants.findIndex((one) => one.agent === agent);
      const answer = table.submit(from, { ...{ kind: 'proposals.vote', id, agent, accept: true, value } });
      expect(['open', 'accepted']).toContain(answer);
    }
    expect(table.state(id)).toBe('accepted');
    const told = table.events.find(({ topic }) => topic === `proposals/decision/${id}`);
    expect(told?.payload.length).toBeLessThanOrEqual(maxAnswerBytes);
    const settled = table.machine.settled(encodePayload({ kind: 'proposals.decision', id }, 1_000));
    expect(settled?.length).toBeLessThanOrEqual(maxAnswerBytes);
    expect(settled?.length).toBeGreaterThan(80_000);
  });
});

describe('certificates', () => {
  it('state decisions, and nothing that may still change', () => {
    const table = new Table();
    table.open({ participants: ['ann@0'] });
    const settled = (kind: string) => table.machine.settled(encodePayload({ kind, id: 'p' }, 1_000));
    expect(settled('proposals.decision')).toBeUndefined();
    table.vote('ann@0 yes');
    const statement = decodeValue(settled('proposals.decision') ?? new Uint8Array());
    expect(statement).toEqual({ ok: true, value: table.record() });
    expect(settled('proposals.get')).toBeUndefined();
  });
});

describe('snapshots', () => {
  it('are restored byte for byte, and go on alike', () => {
    const table = new Table();
    table.open({ id: 'a', participants: three, zones: ['z'] });
    table.open({ id: 'b', participants: ['ann@0*2', 'bob@1'], rule: { weighted: 3 } }, 4);
    table.open({ id: 'c', participants: ['ann@0'], deadlineMs: 10 });
    table.vote('ann@0 other', 'a');
    table.vote('ann@0 other', 'c');
    const snapshot = table.machine.snapshot();
    const copy = new Table();
    copy.machine = new CoordinationMachine([new ProposalsReducer()]);
    copy.machine.restore(snapshot);
    expect(copy.machine.snapshot()).toEqual(snapshot);
    copy.time = table.time;
    for (const one of [table, copy]) {
      one.vote('bob@1 other', 'a');
      one.vote('ann@0 yes', 'b');
      one.pass(2_000);
    }
    expect(copy.machine.snapshot()).toEqual(table.machine.snapshot());
    expect(['a', 'b', 'c'].map((id) => copy.state(id))).toEqual(['accepted', 'expired', 'accepted']);
    expect(answerIn(copy.machine.query(encodePayload({ kind: 'nonsense' }, 100)))).toMatchObject({ ok: false });
  });
});
