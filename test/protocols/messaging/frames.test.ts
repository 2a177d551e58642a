import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { QuorateError } from '../../../src/errors.ts';
import type { NodeId } from '../../../src/node-id.ts';
import {
  decodeFrame,
  drainingFrame,
  encodeCancel,
  encodeCredit,
  encodeError,
  encodeFailed,
  encodeItem,
  encodeMoved,
  encodeOpen,
  encodeReply,
  encodeRequest,
  endFrame,
} from '../../../src/protocols/messaging/frames.ts';
import { handlerFailed, rejected } from '../../../src/protocols/messaging/outcome.ts';
import { travels } from '../../travels.ts';

const limit = 100_000;
const id = fc.integer({ min: 0, max: 0xffff_ffff });
const name = fc.string({ minLength: 1, maxLength: 60 });
const header = fc.record({
  method: fc.oneof(fc.constant(''), name),
  callerAgent: fc.option(name, { nil: undefined }),
  idempotencyKey: fc.option(name, { nil: undefined }),
  trace: fc.option(fc.record({ traceparent: name, tracestate: name }, { requiredKeys: ['traceparent'] }), {
    nil: undefined,
  }),
});
const record = fc.dictionary(name, fc.integer(), { noNullPrototype: true }).filter(travels);
const message = fc.oneof(fc.integer(), fc.string(), record);
const head = fc.option(fc.record({ epoch: fc.maxSafeNat(), seq: fc.maxSafeNat() }), { nil: undefined });

describe('frames', () => {
  test('requests and casts come back as they were', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1 as const, 2 as const),
        id,
        name,
        header,
        fc.nat(),
        message,
        (type, i, agent, h, ms, m) => {
          const frame = decodeFrame(encodeRequest(type, i, agent, h, ms, m, limit));
          expect(frame).toEqual({ type, id: i, agent, ...h, remainingMs: Math.max(1, ms), message: m });
        },
      ),
    );
  });

  test('replies and errors carry the head', () => {
    fc.assert(
      fc.property(id, head, message, (i, h, value) => {
        expect(decodeFrame(encodeReply(i, h, value, limit))).toEqual({ type: 4, id: i, head: h, value });
        const error = decodeFrame(encodeError(i, h, rejected('agent', 'mailbox-full', { queued: 7 })));
        expect(error).toMatchObject({ type: 5, id: i, head: h });
        if (error?.type !== 5) throw new Error('not an error');
        expect(error.error.toJSON()).toEqual(rejected('agent', 'mailbox-full', { queued: 7 }).toJSON());
      }),
    );
  });

  test('the frames of streams come back as they were', () => {
    const header = { method: 'm', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
    const open = decodeFrame(encodeOpen('agent', header, Number.POSITIVE_INFINITY, 5_000, [1], limit));
    expect(open).toMatchObject({ type: 16, agent: 'agent', remainingMs: Number.POSITIVE_INFINITY, credit: 5_000 });
    expect(decodeFrame(encodeItem('x', limit))).toEqual({ type: 17, value: 'x', bytes: 3 });
    expect(decodeFrame(endFrame)).toEqual({ type: 18 });
    expect(decodeFrame(encodeCredit(20, 0xffff_fff0))).toEqual({ type: 20, credit: 0xffff_fff0 });
    expect(decodeFrame(encodeCredit(21, 1))).toEqual({ type: 21, credit: 1 });
    const failed = decodeFrame(encodeFailed(handlerFailed('a', 'm', new TypeError('t'))));
    expect(failed?.type === 19 && failed.error.data).toMatchObject({ name: 'TypeError', message: 't' });
  });

  test('cancel, moved and draining come back as they were', () => {
    expect(decodeFrame(encodeCancel(0xfedc_ba98))).toEqual({ type: 3, id: 0xfedc_ba98 });
    expect(decodeFrame(encodeMoved(9, 'node' as NodeId))).toEqual({ type: 6, id: 9, node: 'node' });
    expect(decodeFrame(drainingFrame)).toEqual({ type: 7 });
  });

  test('an error whose data cannot travel goes without it', () => {
    const data = { agent: 'a', reason: 'r', huge: 'x'.repeat(20_000), odd: () => 1 };
    const frame = decodeFrame(encodeFailed(new QuorateError('HANDLER_FAILED', 'm'.repeat(5_000), data)));
    if (frame?.type !== 19) throw new Error('not a failure');
    expect(frame.error.data).toEqual({ agent: 'a', reason: 'r' });
    expect(frame.error.message.length).toBe(2_048);
  });

  test('a getter that encodes another frame does not disturb the outer one', () => {
    const value = {
      get inner() {
        return [...encodeItem('inner', limit)].length;
      },
      after: 'after',
    };
    expect(decodeFrame(encodeItem(value, limit))).toMatchObject({ value: { inner: 7, after: 'after' } });
  });

  test('any bytes are a frame or nothing, and bit flips too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        decodeFrame(bytes); // must not throw
      }),
    );
    fc.assert(
      fc.property(header, message, fc.nat(), fc.nat({ max: 7 }), (h, m, at, bit) => {
        const bytes = encodeRequest(1, 1, 'agent', h, 1_000, m, limit);
        bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << bit);
        const frame = decodeFrame(bytes);
        if (frame?.type === 1) expect(frame.agent.length).toBeGreaterThan(0);
      }),
    );
  });

  test('what the protocol does not allow is nothing', () => {
    const header = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
    const request = encodeRequest(1, 1, 'agent', header, 1_000, null, limit);
    expect(decodeFrame(request)).toBeDefined();
    for (const [at, byte] of [
      [0, 99], // unknown type
      [5, 0x80], // a deadline of 68 years
      [9, 0x10], // an unknown flag
      [10, 0xff], // an agent id of 65,000 bytes
    ] as const) {
      const broken = request.slice();
      broken[at] = byte;
      expect(decodeFrame(broken)).toBeUndefined();
    }
    expect(decodeFrame(encodeRequest(1, 1, '', header, 1, null, limit))).toBeUndefined();
    expect(decodeFrame(Uint8Array.of(18, 0))).toBeUndefined();
    expect(decodeFrame(new Uint8Array(0))).toBeUndefined();
  });
});
