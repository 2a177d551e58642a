/** What must hold after any commands whatever. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeValue } from '../../../../src/codec.ts';
import { encodePayload } from '../../../../src/payload.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { ProposalRecord } from '../../../../src/protocols/coordination/proposals/commands.ts';
import type { DecisionRule } from '../../../../src/protocols/coordination/proposals/proposals.ts';
import { ProposalsReducer } from '../../../../src/protocols/coordination/proposals/reducer.ts';
import { count, judge, needOf } from '../../../../src/protocols/coordination/proposals/tally.ts';
import { node, openCommand, seat, Table } from './table.ts';

interface Step {
  readonly client: number;
  readonly afterMs: number;
  readonly command: { readonly kind: string };
}

const agents = ['ann', 'bob', 'cem', 'dan', 'eve'] as const;
const id = fc.constantFrom('p', 'q', 'r');
const agent = fc.constantFrom(...agents, 'mal');
const rule: fc.Arbitrary<DecisionRule> = fc.constantFrom<DecisionRule[]>(
  'majority',
  'unanimous',
  { quorum: 2 },
  { weighted: 4 },
  { byzantine: 1 },
  { byzantine: 0 },
);
const participants = fc
  .uniqueArray(fc.nat(4), { minLength: 1, maxLength: 5 })
  .chain((indexes) =>
    fc.tuple(
      ...indexes.map((index) =>
        fc
          .tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom('eu', 'us'))
          .map(([weight, zone]) => `${agents[index]}@${index % 3}*${weight}/${zone}`),
      ),
    ),
  );
const open = fc
  .record({
    id,
    participants,
    proposal: fc.constantFrom('plan', 'trap'),
    rule,
    zones: fc.constantFrom<string[][]>([], [], ['eu'], ['eu', 'us']),
    deadlineMs: fc.constantFrom(50, 5_000),
  })
  .map(openCommand);
const vote = fc
  .record({
    id,
    agent,
    accept: fc.boolean(),
    value: fc.option(fc.constantFrom('plan', 'other', 'x'.repeat(20_000)).map(encodeValue), {
      nil: undefined,
      freq: 2,
    }),
    reason: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
  })
  .map(({ value, reason, ...rest }) => ({
    kind: 'proposals.vote',
    ...rest,
    ...(value === undefined ? {} : { value }),
    ...(reason === undefined ? {} : { reason }),
  }));
const nonsense = fc.constantFrom(
  { kind: 'proposals.open' },
  { kind: 'proposals.vote', id: 'p', agent: 'ann', accept: 'yes' },
  { kind: 'proposals.reopen', id: 'p' },
  { ...openCommand({ participants: ['ann'] }), participants: [] },
  { ...openCommand({ participants: ['ann'] }), rule: { byzantine: -1 } },
  { ...openCommand({ participants: ['ann'] }), deadlineMs: 0.5 },
  { ...openCommand({ participants: ['ann'] }), participants: [{ ...seat('ann'), node: 'nobody' }] },
);
const command = fc.oneof(
  { weight: 3, arbitrary: open },
  { weight: 8, arbitrary: vote },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('proposals.withdraw'), id }) },
  { weight: 1, arbitrary: nonsense },
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ client: fc.nat(3), afterMs: fc.constantFrom(0, 0, 0, 10, 60, 700_000), command }),
  { maxLength: 50 },
);

const ids = ['p', 'q', 'r'];

function play(table: Table, { client, afterMs, command: told }: Step): Uint8Array {
  table.time += afterMs;
  return table.apply(client, encodePayload(told, 1 << 20));
}

/** What was decided stays word for word, for as long as it is remembered; a new proposal of the id begins later. */
function expectFinal(before: ProposalRecord | undefined, after: ProposalRecord | undefined): void {
  if (before === undefined || before.state === 'open' || after === undefined) return;
  if (after.openedAt < (before.decidedAt ?? 0) + 600_000) expect(after).toEqual(before);
}

it('tallies follow from the votes, decisions from the tallies, and nothing decided changes', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const table = new Table();
      for (const step of all) {
        const before = ids.map((one) => table.record(one));
        play(table, step);
        ids.forEach((one, index) => {
          const record = table.record(one);
          expectFinal(before[index], record);
          if (record !== undefined) expectSound(record, table.time);
        });
      }
    }),
    { numRuns: 300 },
  );
});

function expectSound(record: ProposalRecord, time: number): void {
  const { state, value, participants, rule: asked } = record;
  const verdict = judge(record);
  if (state === 'accepted') expect(verdict).toEqual({ kind: 'accepted', value });
  if (state === 'rejected') expect(verdict).toEqual({ kind: 'rejected' });
  if (state === 'expired' || state === 'withdrawn' || state === 'open') expect(verdict.kind).toBe('open');
  if (state === 'open') expect(time).toBeLessThan(record.deadlineAt);
  else expect(record.decidedAt).toBeLessThanOrEqual(time);
  const counted = count(record);
  const chosen = counted.choices.reduce((sum, choice) => sum + choice.count, 0);
  expect(chosen + counted.rejected + counted.missing).toBe(counted.total);
  expect(needOf(asked, participants).needed).toBeLessThanOrEqual(counted.total);
}

it('a vote for an agent that is counted came from its node', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const table = new Table();
      for (const step of all) {
        const told = step.command as { kind: string; id?: string; agent?: string };
        const before = table.record(told.id);
        play(table, step);
        const after = table.record(told.id);
        if (before === undefined || after === undefined || before.openedAt !== after.openedAt) continue;
        const cast = after.participants.filter(
          (one, at) => one.vote !== undefined && before.participants[at]?.vote === undefined,
        );
        if (cast.length === 0) continue;
        expect(told.kind).toBe('proposals.vote');
        expect(cast.map((one) => [one.agent, one.node])).toEqual([[told.agent, node(step.client)]]);
      }
    }),
    { numRuns: 300 },
  );
});

it('two replicas fed alike are alike, one of them restored from a snapshot on the way', () => {
  fc.assert(
    fc.property(steps, fc.nat(50), (all, at) => {
      const one = new Table();
      const other = new Table();
      all.forEach((step, index) => {
        if (index === at) {
          const snapshot = other.machine.snapshot();
          other.machine = new CoordinationMachine([new ProposalsReducer()]);
          other.machine.restore(snapshot);
          expect(other.machine.snapshot()).toEqual(snapshot);
        }
        expect(play(other, step)).toEqual(play(one, step));
      });
      expect(other.events).toEqual(one.events);
      expect(other.machine.snapshot()).toEqual(one.machine.snapshot());
      expect(other.machine.nextDeadline()).toBe(one.machine.nextDeadline());
    }),
    { numRuns: 300 },
  );
});

it('garbage is refused without change', () => {
  fc.assert(
    fc.property(
      steps,
      fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        nonsense.map((it) => encodePayload(it, 1 << 20)),
      ),
      (all, raw) => {
        const table = new Table();
        for (const step of all) play(table, step);
        table.pass(0);
        const before = table.machine.snapshot();
        table.apply(0, raw);
        expect(table.machine.snapshot()).toEqual(before);
      },
    ),
    { numRuns: 200 },
  );
});

it('with byzantine: f, no f liars can have two values accepted, whatever the order of votes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.nat(3), fc.infiniteStream(fc.boolean()), (f, extra, coins) => {
      const n = 3 * f + 1 + extra;
      // Liars vote for both values; the honest for one each.
      const flip = (): boolean => coins.next().value as boolean;
      const honest = Array.from({ length: n - f }, flip);
      const accepted = [true, false].filter((value) => {
        const votes = honest.filter((mine) => mine === value).length + f;
        return votes >= needOf({ byzantine: f }, Array(n).fill({ weight: 1 })).needed;
      });
      expect(accepted.length).toBeLessThanOrEqual(1);
    }),
  );
});
