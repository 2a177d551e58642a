/**
 * The frames of messaging, byte for byte. All numbers are big-endian; `text` is UTF-8 with a 16-bit length
 * before it; `value` is one CBOR item (see `PayloadWriter`) that fills the rest of the frame.
 *
 * On `/quorate/call/1` and, for frames above `bulkThresholdBytes`, `/quorate/bulk/1`, opened by the caller:
 *
 * | type | from | fields after the type byte |
 * |---|---|---|
 * | 1 request | opener | id u32, remaining ms u32, flags u8, agent text, [method], [key], [from], [trace], value |
 * | 2 cast | opener | as request; the reply comes when it is in the mailbox, remaining ms bound its handler |
 * | 3 cancel | opener | id u32 |
 * | 4 reply | either | id u32, flags u8, [head], value |
 * | 5 error | either | id u32, flags u8, [head], code u8, value `{message, …data}` |
 * | 6 moved | acceptor | id u32, node text: the agent runs there now, nothing was done here |
 * | 7 draining | acceptor | nothing: send no more requests on any channel of this node |
 *
 * A reply or error too large for the channel of its request comes on the bulk channel its sender has opened
 * in the other direction; ids belong to the pair of nodes and the direction of the request.
 *
 * On `/quorate/stream/1`, one channel per stream, after `open` both ways alike:
 *
 * | 16 open | opener | remaining ms u32 (all ones: no bound), credit u32, flags u8, agent, [method], [key], [from], [trace], value |
 * | 17 item | either | value; costs `itemCost` of the credit its receiver gave |
 * | 18 end | either | nothing: no more items this way |
 * | 19 failed | either | code u8, value `{message, …data}`: no more items this way, and why |
 * | 20 credit | either | u32 more bytes of items may come |
 * | 21 accepted | acceptor | credit u32 for the items of the opener |
 *
 * Flags of 1, 2 and 16: 1 method, 2 key, 4 from, 8 trace (two texts). Flags of 4 and 5: 1 head (epoch u64,
 * seq u64 of the sender's registry feed), after which the caller waits before it looks anything up.
 */

import { type ErrorCode, QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { MalformedFrame, PayloadReader } from '../../payload-reader.ts';
import { PayloadWriter } from '../../payload-writer.ts';
import type { AgentId, Value } from '../../value.ts';
import type { MessageHeader } from './invocation.ts';
import { maxAgentIdBytes, maxHeaderBytes, maxKeyBytes, maxMethodBytes, maxTraceBytes } from './limits.ts';
import type { TraceContext } from './messaging.ts';
import { wireCodes } from './outcome.ts';

export const callProtocol = '/quorate/call/1';
export const bulkProtocol = '/quorate/bulk/1';
export const streamProtocol = '/quorate/stream/1';

export const frameType = {
  request: 1,
  cast: 2,
  cancel: 3,
  reply: 4,
  error: 5,
  moved: 6,
  draining: 7,
  open: 16,
  item: 17,
  end: 18,
  failed: 19,
  credit: 20,
  accepted: 21,
} as const;

/** How far a feed has come; the part of it that travels with replies. */
export interface ReplyHead {
  readonly epoch: number;
  readonly seq: number;
}

export interface RequestFrame extends Omit<MessageHeader, 'callerNode'> {
  readonly agent: AgentId;
  readonly remainingMs: number;
  readonly message: Value;
}

export type Frame =
  | (RequestFrame & { readonly type: 1 | 2; readonly id: number })
  | (RequestFrame & { readonly type: 16; readonly credit: number })
  | { readonly type: 3; readonly id: number }
  | { readonly type: 4; readonly id: number; readonly head: ReplyHead | undefined; readonly value: Value }
  | { readonly type: 5; readonly id: number; readonly head: ReplyHead | undefined; readonly error: QuorateError }
  | { readonly type: 6; readonly id: number; readonly node: string }
  | { readonly type: 7 }
  | { readonly type: 17; readonly value: Value; readonly bytes: number }
  | { readonly type: 18 }
  | { readonly type: 19; readonly error: QuorateError }
  | { readonly type: 20 | 21; readonly credit: number };

const noBound = 0xffff_ffff;

const flag = { method: 1, key: 2, from: 4, trace: 8, head: 1 } as const;

/** One writer and one reader for all: frames are written and read within one synchronous step. */
const writer = new PayloadWriter();
const reader = new PayloadReader();

/**
 * A getter of the user's own may send another message while its object is being encoded; the frame under
 * construction must not be touched by it.
 */
let writing = false;
function write(maxBytes: number, fill: (out: PayloadWriter) => void): Uint8Array {
  const out = writing ? new PayloadWriter() : writer;
  const outermost = !writing;
  writing = true;
  try {
    out.begin(maxBytes + maxHeaderBytes);
    fill(out);
    return out.finish();
  } finally {
    if (outermost) writing = false;
  }
}

function putHeader(out: PayloadWriter, agent: AgentId, header: Omit<MessageHeader, 'callerNode'>): void {
  const { method, idempotencyKey, callerAgent, trace } = header;
  out.u8(
    (method === '' ? 0 : flag.method) |
      (idempotencyKey === undefined ? 0 : flag.key) |
      (callerAgent === undefined ? 0 : flag.from) |
      (trace === undefined ? 0 : flag.trace),
  );
  out.text(agent);
  if (method !== '') out.text(method);
  if (idempotencyKey !== undefined) out.text(idempotencyKey);
  if (callerAgent !== undefined) out.text(callerAgent);
  if (trace !== undefined) {
    out.text(trace.traceparent);
    out.text(trace.tracestate ?? '');
  }
}

/** Whole milliseconds, at least one, so that a deadline is not rounded away. */
function putRemaining(out: PayloadWriter, remainingMs: number): void {
  out.u32(remainingMs === Number.POSITIVE_INFINITY ? noBound : Math.max(1, Math.ceil(remainingMs)));
}

/** Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`. */
export function encodeRequest(
  type: 1 | 2,
  id: number,
  agent: AgentId,
  header: Omit<MessageHeader, 'callerNode'>,
  remainingMs: number,
  message: unknown,
  maxBytes: number,
): Uint8Array {
  return write(maxBytes, (out) => {
    out.u8(type);
    out.u32(id);
    putRemaining(out, remainingMs);
    putHeader(out, agent, header);
    out.value(message);
  });
}

/** Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`. */
export function encodeOpen(
  agent: AgentId,
  header: Omit<MessageHeader, 'callerNode'>,
  remainingMs: number,
  credit: number,
  message: unknown,
  maxBytes: number,
): Uint8Array {
  return write(maxBytes, (out) => {
    out.u8(frameType.open);
    putRemaining(out, remainingMs);
    out.u32(credit);
    putHeader(out, agent, header);
    out.value(message);
  });
}

export function encodeCancel(id: number): Uint8Array {
  return Uint8Array.of(frameType.cancel, id >>> 24, id >>> 16, id >>> 8, id);
}

function putHead(out: PayloadWriter, head: ReplyHead | undefined): void {
  if (head === undefined) {
    out.u8(0);
    return;
  }
  out.u8(flag.head);
  out.u64(head.epoch);
  out.u64(head.seq);
}

/** Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`. */
export function encodeReply(id: number, head: ReplyHead | undefined, value: unknown, maxBytes: number): Uint8Array {
  return write(maxBytes, (out) => {
    out.u8(frameType.reply);
    out.u32(id);
    putHead(out, head);
    out.value(value);
  });
}

const maxErrorBytes = 8_192;

export function encodeError(id: number, head: ReplyHead | undefined, error: QuorateError): Uint8Array {
  return withError(error, (out) => {
    out.u8(frameType.error);
    out.u32(id);
    putHead(out, head);
  });
}

export function encodeFailed(error: QuorateError): Uint8Array {
  return withError(error, (out) => out.u8(frameType.failed));
}

/** The data of an error is the handler's, so it may be too large or unfit to travel; the rest goes without it. */
function withError(error: QuorateError, start: (out: PayloadWriter) => void): Uint8Array {
  // A code that does not travel must not become one that says that retrying is safe.
  const code = wireCodes.indexOf(wireCodes.includes(error.code) ? error.code : 'UNKNOWN_OUTCOME');
  const attempt = (data: unknown): Uint8Array =>
    write(maxErrorBytes, (out) => {
      start(out);
      out.u8(code);
      out.value({ message: error.message.slice(0, 2_048), data });
    });
  try {
    return attempt(error.data);
  } catch (_unfit) {
    const { agent, method, reason, name, message } = error.data as Record<string, unknown>;
    const texts = Object.entries({ agent, method, reason, name, message }).filter(
      ([, value]) => typeof value === 'string' && value.length <= 1_024,
    );
    return attempt(Object.fromEntries(texts));
  }
}

export function encodeMoved(id: number, node: NodeId): Uint8Array {
  return write(0, (out) => {
    out.u8(frameType.moved);
    out.u32(id);
    out.text(node);
  });
}

export const drainingFrame: Uint8Array = Uint8Array.of(frameType.draining);
export const endFrame: Uint8Array = Uint8Array.of(frameType.end);

/** Throws `UNSUPPORTED_VALUE` or `PAYLOAD_TOO_LARGE`. */
export function encodeItem(value: unknown, maxBytes: number): Uint8Array {
  return write(maxBytes, (out) => {
    out.u8(frameType.item);
    out.value(value);
  });
}

export function encodeCredit(type: 20 | 21, credit: number): Uint8Array {
  return Uint8Array.of(type, credit >>> 24, credit >>> 16, credit >>> 8, credit);
}

/** What an item takes of the credit: its bytes, and something for the object that holds it. */
export function itemCost(frameBytes: number): number {
  return frameBytes + 64;
}

/**
 * What a frame says, or undefined for bytes that are no frame; never throws. An unknown type is not a
 * frame either: versions are told apart by the protocol id.
 */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  try {
    reader.begin(bytes);
    return readFrame();
  } catch (error) {
    if (error instanceof MalformedFrame) return undefined;
    throw error;
  }
}

function readFrame(): Frame {
  const type = reader.u8();
  switch (type) {
    case frameType.request:
    case frameType.cast:
      return readRequest(type, reader.u32());
    case frameType.reply: {
      const id = reader.u32();
      return { type, id, head: readHead(), value: reader.value() };
    }
    case frameType.item: {
      const bytes = reader.remaining + 1;
      return { type, value: reader.value(), bytes };
    }
    case frameType.error: {
      const id = reader.u32();
      return { type, id, head: readHead(), error: readError() };
    }
    case frameType.cancel:
      return atEnd({ type, id: reader.u32() });
    case frameType.moved:
      return atEnd({ type, id: reader.u32(), node: reader.text(64) });
    case frameType.draining:
    case frameType.end:
      return atEnd({ type });
    case frameType.open:
      return readOpen();
    case frameType.failed:
      return { type, error: readError() };
    case frameType.credit:
    case frameType.accepted:
      return atEnd({ type, credit: reader.u32() });
    default:
      throw new MalformedFrame('An unknown type of frame.');
  }
}

function atEnd(frame: Frame): Frame {
  if (reader.remaining > 0) throw new MalformedFrame('There are bytes after the frame.');
  return frame;
}

function readHead(): ReplyHead | undefined {
  const flags = reader.u8();
  if (flags > flag.head) throw new MalformedFrame('Unknown flags.');
  return flags === 0 ? undefined : { epoch: reader.u64(), seq: reader.u64() };
}

function readRequest(type: 1 | 2, id: number): Frame {
  const remainingMs = readRemaining();
  const flags = readFlags();
  return {
    type,
    id,
    remainingMs,
    agent: readAgent(),
    method: flags & flag.method ? reader.text(maxMethodBytes) : '',
    idempotencyKey: flags & flag.key ? reader.text(maxKeyBytes) : undefined,
    callerAgent: flags & flag.from ? reader.text(maxAgentIdBytes) : undefined,
    trace: flags & flag.trace ? readTrace() : undefined,
    message: reader.value(),
  };
}

function readOpen(): Frame {
  const remaining = reader.u32();
  const credit = reader.u32();
  const flags = readFlags();
  return {
    type: frameType.open,
    remainingMs: remaining === noBound ? Number.POSITIVE_INFINITY : remaining,
    credit,
    agent: readAgent(),
    method: flags & flag.method ? reader.text(maxMethodBytes) : '',
    idempotencyKey: flags & flag.key ? reader.text(maxKeyBytes) : undefined,
    callerAgent: flags & flag.from ? reader.text(maxAgentIdBytes) : undefined,
    trace: flags & flag.trace ? readTrace() : undefined,
    message: reader.value(),
  };
}

/** A call without a bound is not allowed: nothing would ever free what it holds. */
function readRemaining(): number {
  const remaining = reader.u32();
  if (remaining > 0x7fff_ffff) throw new MalformedFrame('A deadline is longer than 24 days.');
  return remaining;
}

function readFlags(): number {
  const flags = reader.u8();
  if (flags > 15) throw new MalformedFrame('Unknown flags.');
  return flags;
}

function readAgent(): AgentId {
  const agent = reader.text(maxAgentIdBytes);
  if (agent === '') throw new MalformedFrame('An empty agent id.');
  return agent;
}

function readTrace(): TraceContext {
  const traceparent = reader.text(maxTraceBytes);
  const tracestate = reader.text(maxTraceBytes);
  return tracestate === '' ? { traceparent } : { traceparent, tracestate };
}

/** The error as its receiver raises it; its stack is this node's own. */
function readError(): QuorateError {
  const code = wireCodes[reader.u8()];
  const body = reader.value();
  if (code === undefined || typeof body !== 'object' || body === null) throw new MalformedFrame('Not an error.');
  const { message, data } = body as { readonly message?: Value; readonly data?: Value };
  if (typeof message !== 'string' || message.length > 4_096) throw new MalformedFrame('An error without a message.');
  return new QuorateError(code as ErrorCode, message, isPlainObject(data) ? data : {});
}

function isPlainObject(value: Value): value is { readonly [key: string]: Value } {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
