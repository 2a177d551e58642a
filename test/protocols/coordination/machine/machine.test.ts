/** The machine with all reducers: what holds for every command, whoever answers it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../../src/identity.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import type { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import { orderedRead, tickCommand } from '../../../../src/protocols/coordination/machine/machine.ts';
import { createMachine } from '../../../../src/protocols/coordination/ordered-coordination.ts';

const clients = [1, 2, 3].map((seed) => createIdentity(new Uint8Array(32).fill(seed)).id);
const fresh = (): CoordinationMachine => createMachine(() => true, []);
const bytes = (value: unknown): Uint8Array => encodePayload(value, 64 * 1024);

let seq = 0;
function apply(machine: CoordinationMachine, command: Uint8Array, time: number, client = 0): Uint8Array {
  seq += 1;
  const node = clients[client] as (typeof clients)[0];
  return machine.apply(command, { seq, time, client: node, validators: clients });
}
const answerOf = (answer: Uint8Array): unknown => {
  const decoded = decodePayload(answer);
  return decoded.ok ? decoded.value : undefined;
};

const stored = Uint8Array.of(1);
/** One of each sort, so that the state of every reducer is something. */
const script: readonly { readonly [key: string]: unknown }[] = [
  { kind: 'counter.add', name: 'c', amount: 5 },
  { kind: 'sequence.next', name: 's', count: 3 },
  { kind: 'map.set', name: 'm', key: 'k', value: stored },
  { kind: 'names.open', nonce: 'n', leaseMs: 10_000 },
];

describe('the machine', () => {
  test('answers what is no command, and changes nothing', () => {
    const machine = fresh();
    const before = machine.snapshot();
    for (const garbage of [
      new Uint8Array(0),
      Uint8Array.of(0xff),
      bytes('text'),
      bytes({}),
      bytes({ kind: 7 }),
      bytes({ kind: 'nobody.does' }),
      bytes({ kind: 'counter.add', name: 'c', amount: 1, more: true }),
      bytes({ kind: 'read', query: 'text' }),
    ]) {
      expect(answerOf(apply(machine, garbage, 0))).toMatchObject(['INVALID_ARGUMENT', {}]);
      expect(answerOf(machine.query(garbage))).toMatchObject(['INVALID_ARGUMENT', {}]);
      expect(machine.settled(garbage)).toBeUndefined();
    }
    expect(machine.snapshot()).toEqual(before);
  });

  test('garbage of any kind gets an answer, and replicas stay equal', () => {
    const pieces = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .record({
          kind: fc.constantFrom(...script.map(({ kind }) => kind as string), 'grant.acquire', 'barrier.open', 'tick'),
          name: fc.anything({ maxDepth: 1 }),
          key: fc.string({ maxLength: 5 }),
        })
        .map((value) => {
          try {
            return bytes(value);
          } catch {
            return Uint8Array.of(0); // What cannot travel at all is no input.
          }
        }),
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (commands) => {
        const [one, two] = [fresh(), fresh()];
        for (const command of commands) expect(apply(one, command, 1_000)).toEqual(apply(two, command, 1_000));
        expect(one.snapshot()).toEqual(two.snapshot());
      }),
    );
  });

  test('one that took over a snapshot answers byte for byte like the one that made it', () => {
    const machine = fresh();
    for (const command of script) apply(machine, bytes(command), 1_000);
    const heir = fresh();
    heir.restore(machine.snapshot());
    expect(heir.snapshot()).toEqual(machine.snapshot());
    for (const query of [
      { kind: 'counter.value', name: 'c' },
      { kind: 'map.get', name: 'm', key: 'k' },
      { kind: 'map.page', name: 'm', limit: 10 },
      { kind: 'names.owner', id: 'x' },
    ]) {
      expect(heir.query(bytes(query))).toEqual(machine.query(bytes(query)));
    }
    for (const command of script)
      expect(apply(heir, bytes(command), 2_000)).toEqual(apply(machine, bytes(command), 2_000));
    const heard = heir.takeEvents();
    expect(heard.length).toBeGreaterThan(0);
    expect(machine.takeEvents().slice(-heard.length)).toEqual(heard);
  });

  test('a read that is ordered gives what the query gives', () => {
    const machine = fresh();
    apply(machine, bytes({ kind: 'counter.add', name: 'c', amount: 5 }), 1);
    const query = bytes({ kind: 'counter.value', name: 'c' });
    expect(apply(machine, orderedRead(query), 1)).toEqual(machine.query(query));
  });

  test('time comes with the commands and never goes back; a tick makes what is due happen', () => {
    const machine = fresh();
    apply(machine, bytes({ kind: 'names.open', nonce: 'n', leaseMs: 1_000 }), 10_000);
    const due = machine.nextDeadline();
    expect(due).toBe(11_000);
    apply(machine, tickCommand, 5_000);
    expect(machine.nextDeadline()).toBe(due);
    apply(machine, tickCommand, 11_000);
    expect(machine.nextDeadline()).toBeUndefined();
  });

  test('a snapshot with a reducer that is unknown here is refused', () => {
    const machine = fresh();
    expect(() => machine.restore(bytes({ nothing: 1 }))).toThrow();
  });
});
