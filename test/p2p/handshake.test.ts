import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../src/codec.ts';
import {
  decide,
  decodeHelloFrame,
  encodeHelloFrame,
  type Hello,
  type HelloFrame,
  maxHelloBytes,
  type RefusalCode,
} from '../../src/p2p/handshake.ts';

const names = fc.string({ minLength: 1, maxLength: 128, unit: 'grapheme' }).filter((text) => text.length <= 128);
const hellos: fc.Arbitrary<Hello> = fc
  .record({
    wireMin: fc.nat(100),
    span: fc.nat(100),
    mesh: names,
    version: names,
    instance: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    epoch: fc.maxSafeNat(),
  })
  .map(({ span, ...hello }) => ({ ...hello, wireMax: hello.wireMin + span }));
const codes = fc.constantFrom<RefusalCode>(
  'WRONG_MESH',
  'WRONG_VERSION',
  'NOT_ALLOWED',
  'IDENTITY_IN_USE',
  'DUPLICATE',
);
const frames: fc.Arbitrary<HelloFrame> = fc.oneof(
  hellos.map((hello) => ({ type: 'hello' as const, hello })),
  fc.record({ type: fc.constant('refuse' as const), code: codes, detail: fc.string({ maxLength: 256 }) }),
  fc.constantFrom('accept', 'bye', 'ping', 'pong').map((type) => ({ type }) as HelloFrame),
);
const hello: Hello = { wireMin: 1, wireMax: 3, mesh: 'm', version: '1', instance: new Uint8Array(16), epoch: 1 };
const other = { ...hello, instance: new Uint8Array(16).fill(1) };

describe('hello frames', () => {
  it('come back as they were sent, and fit the limit', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = encodeHelloFrame(frame);
        expect(bytes.length).toBeLessThanOrEqual(maxHelloBytes);
        expect(decodeHelloFrame(bytes)).toEqual(frame);
      }),
    );
  });

  it('are read from random, flipped and truncated bytes without throwing', () => {
    const damaged = fc.tuple(frames, fc.nat(), fc.nat({ max: 7 }), fc.nat()).map(([frame, place, bit, cut]) => {
      const bytes = Uint8Array.from(encodeHelloFrame(frame));
      const at = place % bytes.length;
      bytes[at] = (bytes[at] as number) ^ (1 << bit);
      return cut % 2 === 0 ? bytes : bytes.subarray(0, cut % bytes.length);
    });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 2_000 })), (bytes) => {
        const frame = decodeHelloFrame(bytes);
        if (frame?.type !== 'hello') return;
        expect(frame.hello.instance).toHaveLength(16);
        expect(frame.hello.wireMin).toBeLessThanOrEqual(frame.hello.wireMax);
        expect(frame.hello.mesh.length).toBeLessThanOrEqual(128);
      }),
      { numRuns: 500 },
    );
  });

  it('over the limit are not even looked at', () => {
    expect(decodeHelloFrame(encodeValue([2, new Uint8Array(maxHelloBytes)]))).toBeUndefined();
  });

  it('of a later version with more fields are understood', () => {
    expect(decodeHelloFrame(encodeValue([1, { ...hello, addresses: ['x'] }, 'more']))).toEqual({
      type: 'hello',
      hello,
    });
  });

  it.each([
    ['no array', { type: 1 }],
    ['an unknown number', [99]],
    ['a hello without fields', [1, {}]],
    ['a hello whose versions are the wrong way round', [1, { ...hello, wireMin: 4 }]],
    ['a short instance', [1, { ...hello, instance: new Uint8Array(15) }]],
    ['a fractional epoch', [1, { ...hello, epoch: 1.5 }]],
    ['an empty mesh name', [1, { ...hello, mesh: '' }]],
    ['a long mesh name', [1, { ...hello, mesh: 'x'.repeat(129) }]],
    ['an unknown reason', [3, 77, 'why']],
  ])('with %s are none', (_, value) => {
    expect(decodeHelloFrame(encodeValue(value))).toBeUndefined();
  });
});

describe('the decision', () => {
  const judge = (input: Partial<Parameters<typeof decide>[0]>) =>
    decide({ mine: hello, theirs: hello, denial: undefined, rival: undefined, ...input });

  it('admits a node of the same mesh with a version in common', () => {
    expect(judge({}).type).toBe('admit');
    expect(judge({ theirs: { ...hello, wireMin: 3, wireMax: 9 } }).type).toBe('admit');
  });

  it.each([
    ['NOT_ALLOWED', { denial: 'not on the list' }],
    ['WRONG_MESH', { theirs: { ...hello, mesh: 'other' } }],
    ['WRONG_VERSION', { theirs: { ...hello, wireMin: 4, wireMax: 9 } }],
  ] as const)('refuses with %s', (code, input) => {
    expect(judge(input)).toMatchObject({ type: 'refuse', code });
  });

  it('is the same on both sides where only the hellos count', () => {
    fc.assert(
      fc.property(hellos, hellos, (mine, theirs) => {
        const [here, there] = [judge({ mine, theirs }), judge({ mine: theirs, theirs: mine })];
        expect([here.type, 'code' in here && here.code]).toEqual([there.type, 'code' in there && there.code]);
      }),
    );
  });

  it('asks an admitted rival of another instance before it says that the identity is in use', () => {
    const rival = { instance: other.instance, admitted: true, preferred: 'this' } as const;
    expect(judge({ rival })).toMatchObject({ type: 'probe', otherwise: { code: 'IDENTITY_IN_USE' } });
    expect(judge({ rival: { ...rival, admitted: false } }).type).toBe('admit');
  });

  it('keeps exactly one of two fresh connections between the same two processes, whichever is judged first', () => {
    const same = { instance: hello.instance, admitted: false } as const;
    expect(judge({ rival: { ...same, preferred: 'this' } }).type).toBe('admit');
    expect(judge({ rival: { ...same, preferred: 'rival' } })).toMatchObject({ type: 'refuse', code: 'DUPLICATE' });
    expect(judge({ rival: { ...same, admitted: true, preferred: 'rival' } }).type).toBe('probe');
    expect(judge({ rival: { ...same, admitted: true, preferred: 'neither' } }).type).toBe('probe');
  });
});
