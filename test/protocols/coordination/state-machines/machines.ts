/** Machines that several tests run. */
import * as v from 'valibot';
import { defineStateMachine } from '../../../../src/protocols/coordination/state-machines/define.ts';

class Refused extends Error {
  override readonly name = 'Refused';
}

const transfer = v.strictObject({ to: v.string(), amount: v.pipe(v.number(), v.safeInteger()) });

/** Plain state. */
export const accounts = defineStateMachine({
  name: 'accounts',
  version: 1,
  command: transfer,
  initial: (): Readonly<Record<string, number>> => ({}),
  apply: (state, { to, amount }, { client }) => {
    const balance = (state[to] ?? 0) + amount;
    if (balance < 0) throw new Refused(`${to} has only ${state[to] ?? 0}`);
    return { state: { ...state, [to]: balance }, result: { balance, by: client } };
  },
  query: (state, of: string) => state[of],
});

/** State of its own, changed in place. */
export const store = defineStateMachine({
  name: 'store',
  version: 1,
  command: v.strictObject({ key: v.string(), value: v.optional(v.string()) }),
  initial: () => new Map<string, string>(),
  apply: (state, { key, value }) => {
    if (key === '') throw new Refused('no key');
    const before = state.get(key);
    if (value === undefined) state.delete(key);
    else state.set(key, value);
    return { state, result: before };
  },
  query: (state, key: string) => state.get(key),
  snapshot: (state) => [...state],
  restore: (entries) => new Map(entries as [string, string][]),
});
