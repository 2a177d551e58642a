import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerBytes, readLog } from '../../../../src/protocols/pbft/driver/log-frames.ts';
import { LogWriter } from '../../../../src/protocols/pbft/driver/log-writer.ts';
import type { LogRecord } from '../../../../src/protocols/pbft/effects.ts';
import { CrashingFiles } from './crashing-files.ts';

const groupId = new Uint8Array(32).fill(7);
const sectorBytes = 512;

const record = (seq: number, length: number, fill = 0): LogRecord => {
  return { kind: 'proposal', epoch: 3, seq, view: 2 ** 40 + seq, bytes: new Uint8Array(length).fill(fill) };
};

/** The batches of one file: those carried over when it was made, and those written later. */
async function fileOf(
  carried: readonly LogRecord[],
  batches: readonly (readonly LogRecord[])[],
  { closed = false, reserve = 0 } = {},
): Promise<Buffer> {
  const files = new CrashingFiles();
  const write = async (): Promise<void> => {
    const writer = await LogWriter.create(files, 'log', groupId);
    await writer.append(carried);
    await writer.reserve(reserve);
    await writer.seal();
    for (const batch of batches) await writer.append(batch);
    if (closed) await writer.append([{ kind: 'closed' }]);
  };
  const written = write();
  await files.settle();
  await written;
  return files.content('log') as Buffer;
}

const read = (content: Uint8Array): ReturnType<typeof readLog> => readLog(Uint8Array.from(content), groupId);
const all = (...batches: readonly (readonly LogRecord[])[]): readonly LogRecord[] => batches.flat();

/** Plain copies: records are views. */
const plain = (records: readonly LogRecord[]): unknown[] =>
  records.map((entry) => ({ ...entry, bytes: Buffer.from(entry.bytes).toString('hex') }));

function expectRecords(content: Uint8Array, expected: readonly LogRecord[]): void {
  const found = read(content);
  if (!found.ok) throw new Error(`refused at ${found.offset}: ${found.why}`);
  expect(plain(found.records)).toEqual(plain(expected));
}

function expectDamage(content: Uint8Array, offset: number, why: RegExp): void {
  expect(read(content)).toEqual({ ok: false, offset, why: expect.stringMatching(why) });
}

/** As if the sectors that overlap this range had never reached the disk. */
function withoutSectors(content: Buffer, from: number, to: number): Buffer {
  const after = Buffer.from(content);
  return after.fill(0, Math.floor(from / sectorBytes) * sectorBytes, Math.ceil(to / sectorBytes) * sectorBytes);
}

describe('a file of the log', () => {
  const arbitraryRecord: fc.Arbitrary<LogRecord> = fc.record({
    kind: fc.constantFrom('proposal', 'prepared', 'executed', 'viewChange', 'newView', 'checkpoint'),
    epoch: fc.maxSafeNat(),
    seq: fc.maxSafeNat(),
    view: fc.maxSafeNat(),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(3_000).map((length) => new Uint8Array(length)),
    ),
  });

  it('gives back every record, in order', async () => {
    const batch = fc.array(arbitraryRecord, { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        batch,
        fc.array(batch, { maxLength: 4 }),
        fc.boolean(),
        fc.nat(3_000),
        async (carried, batches, closed, reserve) => {
          expectRecords(await fileOf(carried, batches, { closed, reserve }), all(carried, ...batches));
        },
      ),
    );
  });

  it('writes records larger than what is copied at once', async () => {
    const large = record(1, (5 << 19) + 13, 9);
    expectRecords(await fileOf([], [[record(0, 70), large, record(2, 5)], [record(3, 1)]]), [
      record(0, 70),
      large,
      record(2, 5),
      record(3, 1),
    ]);
  });

  it('never has a granule of zeros in a frame', async () => {
    const content = await fileOf([record(1, 700)], [[record(2, 5_000), record(3, 0)]]);
    for (let at = headerBytes; at < content.length; at += 64) {
      expect(content.subarray(at, at + 64).some((byte) => byte !== 0)).toBe(true);
    }
  });

  it('is read or refused, never thrown over, whatever the bytes are', async () => {
    const whole = await fileOf([record(1, 100)], [[record(2, 1_000)], [record(3, 10)]]);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => read(bytes).ok === false));
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 600 }),
        fc.nat(whole.length),
        fc.nat(whole.length),
        (bytes, at, length) => {
          const content = Buffer.concat([whole, Buffer.alloc(bytes.length)]);
          content.set(bytes, at);
          read(content.subarray(0, length));
        },
      ),
    );
  });
});

describe('damage', () => {
  const carried = [record(1, 300), record(2, 90)];
  const batches = [[record(3, 1_200), record(4, 40)], [record(5, 0)], [record(6, 700), record(7, 64)]];

  it.each([{ closed: true }, { closed: false }])(
    'of one bit anywhere is refused or changes nothing: %o',
    async ({ closed }) => {
      const content = await fileOf(carried, batches, { closed, reserve: 6_000 });
      const expected = plain(all(carried, ...batches));
      let refused = 0;
      for (let at = 0; at < content.length; at++) {
        for (const bit of [at % 8, (at + 3) % 8]) {
          const flipped = Buffer.from(content);
          flipped[at] = (flipped[at] as number) ^ (1 << bit);
          const found = read(flipped);
          if (found.ok) expect(plain(found.records)).toEqual(expected);
          else refused++;
        }
      }
      // Everything but unused bytes is covered; the reserve is where changes are harmless.
      expect(refused).toBeGreaterThan(2 * 3_500);
    },
  );

  it('of a record that others follow is refused, zeros too', async () => {
    const content = await fileOf(carried, batches);
    const third = headerBytes + 64 + 320 + 64 + 128;
    expectDamage(
      withoutSectors(content, third + 600, third + 700),
      third,
      /record 2 is missing or cut, and record [4-6]/,
    );
  });

  it('of any sector before the last batch is refused or changes nothing', async () => {
    const content = await fileOf(carried, batches, { reserve: 1_000 });
    const lastBatch = content.length - (64 + 704 + 64 + 64);
    for (let at = 0; at + sectorBytes <= lastBatch; at += sectorBytes) {
      expect(read(withoutSectors(content, at, at + 1)).ok).toBe(false);
    }
  });

  it('of what was carried over is refused even where nothing follows', async () => {
    const content = await fileOf(carried, []);
    expectDamage(
      content.subarray(0, content.length - 10),
      headerBytes + 64 + 320,
      /record 1 is missing, and 2 were on disk/,
    );
    expectDamage(content.subarray(0, headerBytes), headerBytes, /record 0 is missing, and 2 were on disk/);
  });

  it('of a closed file is refused where a crash could have cut', async () => {
    const content = await fileOf([], [[record(1, 2_000)]], { closed: true });
    expectDamage(withoutSectors(content, 1_000, 1_500), headerBytes, /record 1 at byte .* shows that it was on disk/);
    const open = await fileOf([], [[record(1, 2_000)]]);
    expectRecords(withoutSectors(open, 1_000, 1_500), []);
  });

  it('of the last record is refused when all of it is there', async () => {
    const content = await fileOf([], [[record(1, 300)]]);
    content[headerBytes + 200] = (content[headerBytes + 200] as number) ^ 0xff;
    expectDamage(content, headerBytes, /record 0 was changed after it was written/);
    content[headerBytes + 4] = (content[headerBytes + 4] as number) ^ 1;
    expectDamage(content, headerBytes, /record 0 was changed after it was written/);
  });

  it('by a block of the same file in a wrong place is refused', async () => {
    const content = await fileOf([], [[record(1, 0)], [record(2, 0)], [record(3, 0)]]);
    const swapped = Buffer.from(content);
    swapped.set(content.subarray(headerBytes + 64, headerBytes + 128), headerBytes);
    expectDamage(swapped, headerBytes, /record 1 stands where record 0 belongs/);
  });

  it('by a block of another file of the same group is refused', async () => {
    const content = await fileOf([], [[record(1, 0)], [record(2, 0)]]);
    const other = await fileOf([], [[record(1, 0)], [record(9, 0)]]);
    content.set(other.subarray(headerBytes + 64), headerBytes + 64);
    expectDamage(content, headerBytes + 64, /record 1 was changed after it was written/);
  });

  it('of the header is told apart', async () => {
    const content = await fileOf([], [[record(1, 0)]]);
    expectDamage(Buffer.alloc(0), 0, /does not begin like the log of a validator/);
    expectDamage(content.subarray(0, 100), 0, /does not begin like the log of a validator/);
    const newer = Buffer.from(content);
    newer.writeUInt32LE(2, 16);
    expectDamage(newer, 0, /says format 2, and this program reads format 1 only/);
    const changed = Buffer.from(content);
    changed[300] = 1;
    expectDamage(changed, 0, /the checksum of its header is wrong/);
    expect(readLog(Uint8Array.from(content), new Uint8Array(32))).toEqual({
      ok: false,
      offset: 0,
      why: `it is the log of another group, ${'07'.repeat(32)}`,
    });
  });
});

describe('a torn last batch', () => {
  it('is cut where its first sector is missing, though others of it are there', async () => {
    const content = await fileOf(
      [record(1, 10)],
      [[record(2, 2_000)], [record(3, 900), record(4, 900), record(5, 900)]],
    );
    const last = headerBytes + 128 + 64 + 2_048;
    const torn = Buffer.from(content);
    torn.fill(0, last + 300, last + 900);
    expectRecords(torn, [record(1, 10), record(2, 2_000)]);
    // The same gap with a later batch behind it is no crash.
    const followed = await fileOf(
      [record(1, 10)],
      [[record(2, 2_000)], [record(3, 900), record(4, 900), record(5, 900)], [record(6, 1)]],
    );
    followed.fill(0, last + 300, last + 900);
    expect(read(followed).ok).toBe(false);
  });

  it('is cut at any byte', async () => {
    const first = [record(1, 100)];
    const last = [record(2, 100), record(3, 700)];
    const content = await fileOf([], [first, last]);
    const start = headerBytes + 64 + 128;
    for (let length = start; length <= content.length; length++) {
      const complete = length < start + 192 ? 0 : length < content.length ? 1 : 2;
      expectRecords(content.subarray(0, length), [...first, ...last.slice(0, complete)]);
    }
  });
});
