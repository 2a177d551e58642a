/** What every `StateMachines` must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import { defineStateMachine } from '../protocols/coordination/state-machines/define.ts';
import type { AnyStateMachine, StateMachines } from '../protocols/coordination/state-machines/state-machines.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

/** Adds up, never below zero. Replies with the sum and with what it was given to know. */
const purse = defineStateMachine({
  name: 'conformance-purse',
  version: 1,
  initial: () => ({ sum: 0, commands: 0 }),
  apply: (state, amount: number, { client, time, nextToken }) => {
    const sum = state.sum + amount;
    if (sum < 0) throw new RangeError('never below zero');
    return { state: { sum, commands: state.commands + 1 }, result: { sum, client, time, token: nextToken() } };
  },
  query: (state, of: 'sum' | 'commands') => state[of],
});

/** What nobody declares. */
const unknown = defineStateMachine({
  name: 'conformance-unknown',
  version: 1,
  initial: () => 0,
  apply: (state, _command: undefined) => ({ state, result: 0 }),
});

/** To be given to every validator of a subject as `coordination.machines`. */
export const conformanceMachines: readonly AnyStateMachine[] = [purse];

export interface StateMachinesSubject {
  /** At least one; all in one mesh. */
  readonly nodes: readonly [StateMachines, ...StateMachines[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

/** The validators of each subject must have `conformanceMachines`. */
export type StateMachinesConformanceOptions = ConformanceOptions<StateMachinesSubject>;

/** Declares all cases with `test`. */
export function stateMachinesConformance(options: StateMachinesConformanceOptions): void {
  declareCases(options, cases);
}

const generousMs = 30_000;

async function purses({ nodes }: StateMachinesSubject) {
  const [first] = nodes;
  await first.stateMachine(purse).ready({ timeoutMs: generousMs });
  return (index: number) => (nodes[index % nodes.length] as StateMachines).stateMachine(purse);
}

const cases: Readonly<Record<string, (subject: StateMachinesSubject) => Promise<void>>> = {
  'every command runs once, in one order for all': async (subject) => {
    const at = await purses(subject);
    const results = await Promise.all(Array.from({ length: 30 }, (_, index) => at(index).submit(1)));
    assert.deepEqual(
      results.map(({ sum }) => sum).sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
    assert.equal(await at(1).query('commands'), 30);
    const inOrder = results.sort((a, b) => a.sum - b.sum);
    for (const [index, { token, time }] of inOrder.entries()) {
      const before = inOrder[index - 1];
      assert.ok(before === undefined || (token > before.token && time >= before.time));
    }
  },

  'a command that is refused changes nothing': async (subject) => {
    const at = await purses(subject);
    await at(0).submit(3);
    const refused = await failure('HANDLER_FAILED', () => at(1).submit(-4));
    assert.equal(refused.data['machine'], 'conformance-purse');
    assert.equal(await at(0).query('sum'), 3);
    assert.equal(await at(0).query('commands'), 1);
    assert.equal((await at(1).submit(-3)).sum, 0);
  },

  'a machine that not all validators have does not run': async ({ nodes }) => {
    const [first] = nodes;
    const machine = first.stateMachine(unknown);
    const missing = await failure('STATE_MACHINE_MISSING', () => machine.submit(undefined));
    assert.equal(missing.data['name'], 'conformance-unknown');
    assert.ok(Array.isArray(missing.data['waitingFor']) && missing.data['waitingFor'].length > 0);
    await failure('STATE_MACHINE_MISSING', () => machine.query(undefined));
    await failure('TIMED_OUT', () => machine.ready({ timeoutMs: 50 }));
  },
};
