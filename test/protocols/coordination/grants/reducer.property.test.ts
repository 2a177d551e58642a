/** What must hold after any commands whatever. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeValue } from '../../../../src/codec.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { GrantReducer } from '../../../../src/protocols/coordination/grants/reducer.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { Value } from '../../../../src/value.ts';
import { travels } from '../../../travels.ts';
import { alice, bob, carol, idOf } from './log.ts';

interface Step {
  readonly client: NodeId;
  readonly afterMs: number;
  readonly command: Value;
}

const id = fc.integer({ min: 0, max: 5 }).map(idOf);
const token = fc.integer({ min: 1, max: 12 });
const terms = fc.constantFrom(
  { name: 'door', sort: 'lock', permits: 1 },
  { name: 'gpu', sort: 'semaphore', permits: 3 },
  { name: 'gpu', sort: 'semaphore', permits: 3 },
  { name: 'gpu', sort: 'semaphore', permits: 2 },
  { name: 'chair', sort: 'election', permits: 1, value: Uint8Array.of(1) },
);
const acquire = fc
  .record({
    kind: fc.constant('grant.acquire'),
    id,
    terms,
    count: fc.integer({ min: 1, max: 3 }),
    leaseMs: fc.constantFrom(100, 1_000, 20_000),
    waitMs: fc.constantFrom(0, 500, 30_000),
  })
  .map(({ terms: asked, ...rest }) => ({ ...rest, ...asked }));
const command = fc.oneof(
  { weight: 5, arbitrary: acquire },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('grant.renew'), id, token }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('grant.release'), id, token }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grant.withdraw'), id }) },
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    client: fc.constantFrom(alice, bob, carol),
    afterMs: fc.constantFrom(0, 0, 10, 400, 2_000, 15_000),
    command,
  }),
  { maxLength: 60 },
);

class Replica {
  readonly machine = new CoordinationMachine([new GrantReducer()]);
  #seq = 0;
  #time = 1_000;

  step({ client, afterMs, command: told }: Step): { answer: Uint8Array; events: unknown } {
    this.#time += afterMs;
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.#time, client, validators: [] };
    const answer = this.machine.apply(encodePayload(told, 65_536), context);
    return { answer, events: this.machine.takeEvents() };
  }

  /** The rest of the steps goes to one that took over. */
  takenOver(): Replica {
    const other = new Replica();
    other.#time = this.#time;
    other.#seq = this.#seq;
    other.machine.restore(this.machine.snapshot());
    return other;
  }
}

type FrozenClaim = readonly [
  node: string,
  id: string,
  count: number,
  lease: number,
  value: Value,
  token: number,
  until: number,
];
interface Frozen {
  readonly token: number;
  readonly resources: readonly (readonly [
    name: string,
    sort: string,
    permits: number,
    claims: readonly FrozenClaim[],
  ])[];
  readonly ended: readonly (readonly [key: string, node: string, how: string, at: number])[];
}

function stateOf({ machine }: Replica): Frozen & { readonly time: number } {
  const whole = read(machine.snapshot()) as { time: number; reducers: [string, Uint8Array][] };
  return { ...(read(whole.reducers[0]?.[1] as Uint8Array) as unknown as Frozen), time: whole.time };
}

function read(bytes: Uint8Array): Value {
  const decoded = decodeValue(bytes);
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}

const keyOf = ([node, claimId]: FrozenClaim): string => `${node}/${claimId}`;

it('keeps its invariants', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const replica = new Replica();
      const endedOnce = new Set<string>();
      let before = stateOf(replica);
      for (const step of all) {
        replica.step(step);
        const now = stateOf(replica);
        const linesBefore = new Map(before.resources.map(([name, , , claims]) => [name, claims]));
        const fresh: number[] = [];
        for (const [name, , permits, claims] of now.resources) {
          const holders = claims.filter((claim) => claim[5] > 0);
          const line = claims.filter((claim) => claim[5] === 0);
          const used = holders.reduce((sum, claim) => sum + claim[2], 0);
          expect(used).toBeLessThanOrEqual(permits);
          expect(claims.length).toBeGreaterThan(0);
          // The first in line waits only for what is not free.
          if (line[0] !== undefined) expect(used + line[0][2]).toBeGreaterThan(permits);
          for (const claim of claims) {
            expect(claim[6]).toBeGreaterThan(now.time);
            expect(endedOnce.has(keyOf(claim))).toBe(false);
          }
          const was = linesBefore.get(name) ?? [];
          const wasInLine = was.filter((claim) => claim[5] === 0).map(keyOf);
          const alive = new Set(claims.map(keyOf));
          // Newcomers stand behind those who were there; and who was granted stood before who was not.
          const oldLine = wasInLine.filter((key) => alive.has(key));
          const stayed = line.map(keyOf).filter((key) => wasInLine.includes(key));
          const granted = oldLine.filter((key) => !stayed.includes(key));
          expect(line.map(keyOf).slice(0, stayed.length)).toEqual(stayed);
          expect(oldLine).toEqual([...granted, ...stayed]);
          const wasHeld = new Set(was.filter((claim) => claim[5] > 0).map(keyOf));
          fresh.push(...holders.filter((claim) => !wasHeld.has(keyOf(claim))).map((claim) => claim[5]));
        }
        // Tokens of new grants are above all there were, and no two alike.
        for (const given of fresh) expect(given).toBeGreaterThan(before.token);
        expect(new Set(fresh).size).toBe(fresh.length);
        expect(now.token).toBeGreaterThanOrEqual(Math.max(before.token, ...fresh));
        const remembered = new Set(now.ended.map(([key]) => key));
        for (const [key] of before.ended) if (!remembered.has(key)) endedOnce.delete(key);
        for (const key of remembered) endedOnce.add(key);
        before = now;
      }
    }),
    { numRuns: 400 },
  );
});

it('refuses what a node says of the claims of another', () => {
  fc.assert(
    fc.property(steps, command, (all, told) => {
      const replica = new Replica();
      for (const step of all) replica.step({ ...step, client: step.client === carol ? bob : step.client });
      if ((told as { kind: string }).kind === 'grant.acquire') return;
      const before = stateOf(replica);
      replica.step({ client: carol, afterMs: 0, command: told });
      expect(stateOf(replica).resources).toEqual(before.resources);
    }),
    { numRuns: 100 },
  );
});

it('is the same at every replica, also at one that took over in between', () => {
  fc.assert(
    fc.property(steps, fc.nat(60), (all, at) => {
      const [one, other] = [new Replica(), new Replica()];
      let third = new Replica();
      all.forEach((step, index) => {
        if (index === at) third = one.takenOver();
        const told = one.step(step);
        expect(other.step(step)).toEqual(told);
        expect(third.step(step)).toEqual(told);
      });
      expect(other.machine.snapshot()).toEqual(one.machine.snapshot());
      expect(third.machine.snapshot()).toEqual(one.machine.snapshot());
      expect(third.machine.nextDeadline()).toBe(one.machine.nextDeadline());
    }),
    { numRuns: 200 },
  );
});

it('answers garbage, and changes nothing for it', () => {
  const fields = fc.constantFrom(
    'id',
    'name',
    'sort',
    'permits',
    'count',
    'leaseMs',
    'waitMs',
    'token',
    'kind',
    'more',
  );
  const garbage = fc.oneof(
    fc.constant(undefined),
    fc.string(),
    fc.double({ noInteger: true }),
    fc.integer({ max: -1 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(fc.integer()),
    fc.dictionary(fc.string(), fc.integer()).filter(travels),
  );
  fc.assert(
    fc.property(steps, command, fields, garbage, (all, told, field, wrong) => {
      const replica = new Replica();
      for (const step of all) replica.step(step);
      replica.step({ client: alice, afterMs: 0, command: { kind: 'tick' } });
      const before = stateOf(replica);
      const broken = { ...(told as object), [field]: wrong } as Value;
      fc.pre(!(field === 'name' && typeof wrong === 'string')); // Any text is a name.
      const { answer, events } = replica.step({ client: alice, afterMs: 0, command: broken });
      const decoded = decodePayload(answer);
      expect(decoded).toMatchObject({ ok: true, value: ['INVALID_ARGUMENT', {}] });
      expect(events).toEqual([]);
      expect(stateOf(replica)).toEqual(before);
    }),
    { numRuns: 300 },
  );
});
