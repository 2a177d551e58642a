/** How much one member can make every validator keep: each part of the machine filled by one client until it is refused. */
import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../src/identity.ts';
import { decodePayload, encodePayload } from '../../src/payload.ts';
import { coordinationParameters } from '../../src/protocols/coordination/group/definition.ts';
import { createMachine } from '../../src/protocols/coordination/ordered-coordination.ts';
import type { Value } from '../../src/value.ts';

const client = createIdentity().id;
/** As long in bytes as 256 characters can be. */
const wide = (n: number): string => String(n).padStart(8, '0') + '\u4e00'.repeat(248);
const long = (n: number): string => String(n).padStart(8, '0').padEnd(250, 'x');
const bytes = (length: number): Uint8Array => encodePayload(new Uint8Array(length), length + 16);

const fills: Readonly<Record<string, (n: number) => object>> = {
  counters: (n) => ({ kind: 'counter.add', name: wide(n), amount: 1 }),
  sequences: (n) => ({ kind: 'sequence.next', name: wide(n), count: 1 }),
  maps: (n) => ({ kind: 'map.set', name: 'm', key: wide(n), value: bytes(30_000) }),
  grants: (n) => ({
    kind: 'grant.acquire',
    name: wide(n),
    id: n.toString(16).padStart(32, '0'),
    sort: 'election',
    permits: 1,
    count: 1,
    leaseMs: 60_000,
    waitMs: 0,
    value: bytes(2_000),
  }),
  proposals: (n) => ({
    kind: 'proposals.open',
    id: wide(n),
    participants: [{ agent: 'a', node: client, zone: 'z', weight: 1 }],
    proposal: bytes(30_000),
    rule: 'majority',
    zones: [],
    deadlineMs: 60_000,
  }),
  auctions: (n) => ({
    kind: 'auction.open',
    id: long(n),
    terms: {
      mechanism: 'english',
      bidMs: 60_000,
      startPrice: 1,
      increment: 1,
      quietMs: 1_000,
      hardEndMs: 600_000,
      reserve: 0,
      resource: bytes(16_000),
      bidders: Array.from({ length: 60 }, (_, k) => ({ agent: long(k), node: client })),
    },
  }),
  barriers: (n) => ({
    kind: 'barrier.open',
    id: long(n),
    nonce: new Uint8Array(16),
    terms: {
      who: { kind: 'list', agents: Array.from({ length: 90 }, (_, k) => long(k)) },
      strategy: 'flat',
      onLost: 'wait',
      deadlineMs: null,
      minimum: 1,
      leaseMs: 60_000,
    },
  }),
  names: (n) => ({ kind: 'names.claim', session: 1, id: wide(n), attempt: n + 1 }),
};

describe('what one member can make a group keep', () => {
  it('leaves room in what a group moves to a validator that fell behind', () => {
    const machine = createMachine(() => true, []);
    let seq = 0;
    const order = (command: object): readonly Value[] => {
      const context = { seq: ++seq, time: 1_000_000, client, validators: [client] };
      const answer = decodePayload(machine.apply(encodePayload(command, 128 * 1024), context));
      return answer.ok ? (answer.value as readonly Value[]) : [];
    };
    expect(order({ kind: 'names.open', nonce: 'x', leaseMs: 86_400_000 })).toEqual([1]);
    for (const [part, fill] of Object.entries(fills)) {
      let answer: readonly Value[] = [];
      let taken = -1;
      do {
        taken += 1;
        answer = order(fill(taken));
      } while (answer.length === 1);
      expect([part, answer[0]]).toEqual([part, 'LIMIT_EXCEEDED']);
      expect(taken).toBeGreaterThan(50);
    }
    const size = machine.snapshot().length;
    expect(size).toBeGreaterThan(64 << 20);
    expect(size).toBeLessThan((coordinationParameters.maxStateBytes * 5) / 8);
  });
});
