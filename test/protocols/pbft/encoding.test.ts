import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, messageLimit } from '../../../src/protocols/pbft/encoding.ts';
import { defaultParameters } from '../../../src/protocols/pbft/group.ts';
import { type Message, messageNumbers } from '../../../src/protocols/pbft/messages.ts';
import { Reader, Writer } from '../../../src/protocols/pbft/wire.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

/** One message of every type, as replicas really send them. */
function everyMessage(): Map<string, Message> {
  const found = new Map<string, Message>();
  const table = new Table({ n: 4, f: 1 }).open();
  const keep = ({ message }: { message: Message }): boolean => {
    found.set(message.type, message);
    return false;
  };
  for (let number = 1; number <= 4; number++) {
    table.hand(1, clientNode, table.request(number, `x${number}`));
    table.settle((letter) => keep(letter) || letter.to === 3);
  }
  table.pause(400, keep);
  for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(5, 'y'));
  table.pause(600, (letter) => keep(letter) || letter.from === 0 || letter.to === 0);
  for (const { message } of table.toClients) found.set(message.type, message);
  const more: Message[] = [
    { type: 'read', number: 3, query: Uint8Array.of(1) },
    { type: 'readReply', number: 3, epoch: 0, result: Uint8Array.of(1) },
    { type: 'fetchBatch', seq: 3, digest: 'ab'.repeat(32) },
    { type: 'batch', seq: 3, batch: (found.get('prePrepare') as Message & { type: 'prePrepare' }).batch as never },
  ];
  for (const message of more) found.set(message.type, message);
  return found;
}

describe('encoding', () => {
  const messages = everyMessage();

  it('covers every message there is, each under its own number', () => {
    expect([...messages.keys()].sort()).toEqual(Object.keys(messageNumbers).sort());
    expect(new Set(Object.values(messageNumbers)).size).toBe(Object.keys(messageNumbers).length);
  });

  it('brings every message back, from one encoding only', () => {
    for (const [type, message] of messages) {
      const bytes = encodeMessage(message);
      const decoded = decodeMessage(bytes, defaultParameters);
      if (typeof decoded === 'string') throw new Error(`${type} is ${decoded}`);
      expect(decoded.message.type).toBe(type);
      expect(Buffer.compare(encodeMessage(decoded.message), bytes)).toBe(0);
      expect(decodeMessage(bytes.subarray(0, -1), defaultParameters)).toBe('malformed');
      expect(decodeMessage(Uint8Array.of(...bytes, 0), defaultParameters)).toBe('malformed');
    }
  });

  it('never throws, and whatever it reads it would write the same way', () => {
    const samples = [...messages.values()].map(encodeMessage);
    const mutated = fc
      .tuple(fc.constantFrom(...samples), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat())
      .map(([sample, edits, cut]) => {
        const bytes = Uint8Array.from(sample);
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        return cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        const decoded = decodeMessage(bytes, defaultParameters);
        if (typeof decoded === 'string') expect(['malformed', 'too-large']).toContain(decoded);
        else expect(Buffer.compare(encodeMessage(decoded.message), bytes)).toBe(0);
      }),
      { numRuns: 3_000 },
    );
  });

  it('refuses by size before it reads', () => {
    for (const type of ['commit', 'status', 'request', 'statePart'] as const) {
      const bytes = new Uint8Array(messageLimit(type, defaultParameters) + 1);
      bytes[0] = messageNumbers[type];
      expect(decodeMessage(bytes, defaultParameters)).toBe('too-large');
    }
  });

  it('refuses requests whose numbers do not fit together', () => {
    const table = new Table({ n: 4, f: 1 });
    const request = table.request(2, 'a');
    const body = (session: number, number: number, acknowledged: number): Uint8Array => {
      const w = new Writer().text(request.client).uint(session).uint(number).uint(acknowledged);
      return w
        .uint(1)
        .list([], () => undefined)
        .bytes(request.signature)
        .finish();
    };
    const whole = (bytes: Uint8Array): Uint8Array => new Writer().uint(messageNumbers.request).bytes(bytes).finish();
    expect(decodeMessage(whole(body(1, 2, 1)), defaultParameters)).toBeTypeOf('object');
    for (const [session, number, acknowledged] of [
      [0, 2, 1],
      [1, 0, 0],
      [1, 2, 2],
    ] as const) {
      expect(decodeMessage(whole(body(session, number, acknowledged)), defaultParameters)).toBe('malformed');
    }
  });
});

describe('the reader', () => {
  it('takes the shortest form of a number only, up to 2^53 − 1', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const reader = new Reader(new Writer().uint(value).finish());
        expect(reader.uint()).toBe(value);
        expect(reader.complete).toBe(true);
      }),
    );
    for (const bytes of [[0x80, 0x00], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x80]]) {
      const reader = new Reader(Uint8Array.from(bytes));
      reader.uint();
      expect(reader.failed).toBe(true);
    }
  });

  it('allocates nothing for a count that the bytes cannot hold', () => {
    const reader = new Reader(new Writer().uint(1_000_000).finish());
    expect(reader.list(2_000_000, (r) => r.uint())).toEqual([]);
    expect(reader.failed).toBe(true);
  });
});

describe('what is nobody’s to say', () => {
  it('is refused: commits for others, outsiders, unknown epochs', () => {
    const table = new Table({ n: 4, f: 1, spares: 1 });
    const commit = {
      type: 'commit',
      epoch: 0,
      view: 0,
      seq: 1,
      digest: 'ab'.repeat(32),
      replica: nodeNumber(2),
    } as const;
    expect(table.hand(0, 1, commit)).toEqual(['refused: impersonation']);
    expect(table.hand(0, 4, { ...commit, replica: nodeNumber(4) })).toEqual(['refused: not-a-member']);
    expect(table.hand(0, 2, { ...commit, epoch: 7 })).toEqual(['refused: unknown-epoch']);
    expect(table.hand(0, 4, { type: 'committed', epoch: 0, seq: 1, digest: commit.digest })).toEqual([
      'refused: not-a-member',
    ]);
    const request = { ...table.request(1, { kind: 'open' }) };
    const forged = Uint8Array.from(request.bytes);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    expect(table.hand(0, clientNode, { ...request, bytes: forged })).toEqual(['refused: bad-signature']);
  });
});
