import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import {
  type AlertState,
  adopt,
  isLater,
  nextState,
} from '../../../../src/protocols/infrastructure/monitor/incident.ts';
import type { AlertLevel } from '../../../../src/protocols/infrastructure/monitor/monitor.ts';

const by = (self: string, wallNow: number, birth = 1_000) =>
  ({ prefix: 'm', birth, self: self as NodeId, wallNow, told: false }) as const;
const judged = (level: AlertLevel) => ({ level, value: 1, threshold: 2 });
const level = fc.constantFrom<AlertLevel>('ok', 'warning', 'critical');

const anyState: fc.Arbitrary<AlertState> = fc.record({
  incident: fc.constantFrom('m/a', 'm/b'),
  level,
  previous: level,
  change: fc.nat(3),
  value: fc.option(fc.integer(), { nil: undefined }),
  threshold: fc.constant(undefined),
  at: fc.nat(20),
  raisedBy: fc.constantFrom('a', 'b', 'c') as fc.Arbitrary<NodeId>,
  told: fc.constant(false),
});
/** An honest node never says two things at one time. */
const states = fc.uniqueArray(anyState, { maxLength: 12, selector: ({ at, raisedBy }) => `${at} ${raisedBy}` });

const fold = (said: readonly AlertState[]): { state: AlertState | undefined; changes: AlertState[] } => {
  let state: AlertState | undefined;
  const changes: AlertState[] = [];
  for (const one of said) {
    const adoption = adopt(state, one);
    state = adoption.state;
    changes.push(...adoption.changes);
  }
  return { state, changes };
};

describe('incidents', () => {
  test('one from the first warning until all is well; the next is named after its end', () => {
    const raised = nextState(undefined, judged('warning'), by('a', 5_000));
    expect(raised).toMatchObject({ incident: 'm/rs', level: 'warning', previous: 'ok', change: 1, at: 5_000 });
    const worse = nextState(raised, judged('critical'), by('b', 4_000));
    // The clock of the next owner is behind, and yet its word is the later one.
    expect(worse).toMatchObject({ incident: 'm/rs', previous: 'warning', change: 2, at: 5_001, raisedBy: 'b' });
    const over = nextState(worse, judged('ok'), by('b', 9_000));
    expect(over).toMatchObject({ incident: 'm/rs', previous: 'critical', change: 3, at: 9_000 });
    const next = nextState(over, judged('critical'), by('a', 9_500));
    expect(next).toMatchObject({ incident: `m/${(9_000).toString(36)}`, previous: 'ok', change: 1 });
  });

  test('owners that do not know of each other give the same incident the same name', () => {
    const [one, other] = [by('a', 5_000), by('b', 5_300)].map((source) =>
      nextState(undefined, judged('warning'), source),
    );
    expect(one?.incident).toBe(other?.incident);
    expect(fold([one, other] as AlertState[]).changes.length).toBe(1);
    expect(fold([other, one] as AlertState[]).changes.length).toBe(1);
  });

  test('whatever the order of arrival, and however often, the latest is what is known', () => {
    fc.assert(
      fc.property(states, (said) => {
        const sorted = [...said].sort((a, b) => (isLater(a, b) ? 1 : -1));
        expect(fold(said).state).toEqual(sorted.at(-1));
        expect(fold([...said, ...said].reverse()).state).toEqual(sorted.at(-1));
      }),
    );
  });

  test('what is heard of each incident is a chain of changes, and nothing stays open but what is known', () => {
    fc.assert(
      fc.property(states, (said) => {
        const { state, changes } = fold(said);
        const open = new Map<string, AlertLevel>();
        for (const { incident, level, previous } of changes) {
          expect(previous).toBe(open.get(incident) ?? 'ok');
          expect(level).not.toBe(previous);
          // Never two at a time.
          if (level !== 'ok') for (const [name, other] of open) if (name !== incident) expect(other).toBe('ok');
          open.set(incident, level);
        }
        for (const [incident, level] of open) expect(level).toBe(state?.incident === incident ? state.level : 'ok');
      }),
      { numRuns: 500 },
    );
  });

  test('that agents have been told is learned of the same state only', () => {
    const raised = nextState(undefined, judged('warning'), by('a', 5_000));
    expect(adopt(raised, { ...raised, told: true })).toEqual({ state: { ...raised, told: true }, changes: [] });
    expect(adopt(raised, { ...raised, told: true, at: 4_999 }).state).toBe(raised);
    expect(adopt({ ...raised, told: true }, raised).state?.told).toBe(true);
  });
});
