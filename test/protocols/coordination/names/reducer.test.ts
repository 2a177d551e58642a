import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import { maxNamesPerNode, NamesReducer } from '../../../../src/protocols/coordination/names/reducer.ts';

class Subject {
  machine = new CoordinationMachine([new NamesReducer()]);
  run(client: string, time: number, command: unknown): readonly unknown[] {
    const context = { seq: 1, time, client: client as never, validators: [] };
    const answer = decodePayload(this.machine.apply(encodePayload(command, 65_536), context));
    return (answer.ok ? answer.value : []) as readonly unknown[];
  }
  ask(query: unknown): readonly unknown[] {
    const answer = decodePayload(this.machine.query(encodePayload(query, 65_536)));
    return (answer.ok ? answer.value : []) as readonly unknown[];
  }
  open(client: string, time: number, nonce = '1'): number {
    return this.run(client, time, { kind: 'names.open', nonce, leaseMs: 1_000 })[0] as number;
  }
}

const claim = (session: number, id: string, attempt = 1) => ({ kind: 'names.claim', session, id, attempt });

describe('sessions', () => {
  test('another session of the same node ends the one before, with all its names', () => {
    const m = new Subject();
    const old = m.open('n', 0);
    m.run('n', 0, claim(old, 'x'));
    expect(m.open('n', 1, '1')).toBe(old);
    const next = m.open('n', 1, '2');
    expect(next).toBeGreaterThan(old);
    expect(m.ask({ kind: 'names.owner', id: 'x' })).toEqual([undefined]);
    expect(m.run('n', 1, claim(old, 'x'))).toMatchObject(['NOT_FOUND', {}]);
  });

  test('nobody acts under the session of another node', () => {
    const m = new Subject();
    const session = m.open('n', 0);
    const [token] = m.run('n', 0, claim(session, 'x'));
    for (const command of [
      claim(session, 'y'),
      { kind: 'names.release', session, id: 'x', token },
      { kind: 'names.renew', session },
      { kind: 'names.close', session },
    ]) {
      expect(m.run('thief', 0, command)).toMatchObject(['NOT_FOUND', { session }]);
    }
    expect(m.ask({ kind: 'names.owner', id: 'x' })).toMatchObject([{ node: 'n', token }]);
  });

  test('the lease ends in agreed time, unless it is renewed', () => {
    const m = new Subject();
    const session = m.open('n', 0);
    m.run('n', 0, claim(session, 'x'));
    expect(m.run('n', 900, { kind: 'names.renew', session })).toEqual([1]);
    m.run('other', 1_899, { kind: 'tick' });
    expect(m.ask({ kind: 'names.owner', id: 'x' })).toMatchObject([{ node: 'n' }]);
    m.run('other', 1_900, { kind: 'tick' });
    expect(m.ask({ kind: 'names.owner', id: 'x' })).toEqual([undefined]);
    expect(m.machine.nextDeadline()).toBeUndefined();
  });

  test('a node has a bounded number of names', () => {
    const m = new Subject();
    const session = m.open('n', 0);
    for (let n = 0; n < maxNamesPerNode; n++) m.run('n', 0, claim(session, `x${n}`));
    expect(m.run('n', 0, claim(session, 'one more'))).toMatchObject(['LIMIT_EXCEEDED', { what: 'node' }]);
    expect(m.run('n', 0, claim(session, 'x7', 2))[0]).toBeGreaterThan(maxNamesPerNode);
    expect(m.run('n', 0, { kind: 'names.renew', session })).toEqual([maxNamesPerNode]);
  });
});

const node = fc.constantFrom('n1', 'n2', 'n3');
const id = fc.constantFrom('x', 'y', '__proto__');
const session = fc.nat(3);
const acts = fc.array(
  fc.record({
    node,
    forward: fc.oneof(fc.nat(200), fc.constant(0), fc.constant(1_000)),
    command: fc.oneof(
      fc.record({ kind: fc.constant('names.open'), nonce: fc.constantFrom('1', '2'), leaseMs: fc.constant(1_000) }),
      fc.record({ kind: fc.constant('names.claim'), session, id, attempt: fc.nat(4) }),
      fc.record({ kind: fc.constant('names.claim'), session, id, attempt: fc.nat(4) }),
      fc.record({ kind: fc.constant('names.release'), session, id, token: fc.nat(8) }),
      fc.record({ kind: fc.constantFrom('names.renew', 'names.close', 'names.nonsense'), session }),
      fc.constant({ kind: 'names.claim', session: -1, id: 'x', attempt: 0 }),
    ),
  }),
  { maxLength: 60 },
);

test('one owner at a time, rising tokens, and replicas alike whenever one is restored', () => {
  fc.assert(
    fc.property(acts, fc.nat(60), (list, at) => {
      const one = new Subject();
      let two = new Subject();
      // Sessions are numbered by tokens; commands name them by their place here.
      const opened: number[] = [];
      const owner = new Map<string, { node: string; token: number }>();
      const highest = new Map<string, number>();
      let time = 0;
      for (const [index, { node: client, forward, command: raw }] of list.entries()) {
        if (index === at) {
          const restored = new Subject();
          restored.machine.restore(two.machine.snapshot());
          two = restored;
        }
        time += forward;
        const command = 'session' in raw && raw.session >= 0 ? { ...raw, session: opened[raw.session] ?? 999 } : raw;
        one.run('n1', time, { kind: 'tick' });
        const owns =
          'id' in raw ? (one.ask({ kind: 'names.owner', id: raw.id })[0] as { node: string } | undefined) : undefined;
        const answer = one.run(client, time, command);
        if (raw.kind === 'names.claim' && owns !== undefined && owns.node !== client)
          expect(answer[0]).toBeTypeOf('string');
        expect(two.run(client, time, command)).toEqual(answer);
        if (raw.kind === 'names.open' && !opened.includes(answer[0] as number)) opened.unshift(answer[0] as number);
        if (raw.kind !== 'names.claim' || typeof answer[0] !== 'number' || !('id' in raw)) continue;
        const token = answer[0];
        const before = owner.get(raw.id);
        if (before?.token !== token) expect(token).toBeGreaterThan(highest.get(raw.id) ?? 0);
        highest.set(raw.id, token);
        owner.set(raw.id, { node: client, token });
        expect(one.ask({ kind: 'names.owner', id: raw.id })).toMatchObject([{ node: client, token }]);
        expect(one.ask({ kind: 'names.grant', id: raw.id, token })).toMatchObject([
          { id: raw.id, node: client, token },
        ]);
      }
      expect(two.machine.snapshot()).toEqual(one.machine.snapshot());
      one.run('n1', time + 1_000, { kind: 'tick' });
      for (const name of ['x', 'y', '__proto__'])
        expect(one.ask({ kind: 'names.owner', id: name })).toEqual([undefined]);
    }),
  );
});
