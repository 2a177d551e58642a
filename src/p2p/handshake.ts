/**
 * The hello: what two nodes tell each other on a fresh, already encrypted connection, and who is let in.
 * Pure: bytes to frames, and two hellos to a decision. The adapters run it on `/quorate/hello/1`.
 *
 * Intuition. Both sides send a `hello` at once and judge the other's. Each then says `accept`, or `refuse`
 * with the reason, so that both ends of a refused connection can name it. A connection counts as admitted
 * when both accepted. The stream stays open: `bye` announces a close on purpose, and `ping`/`pong` answer
 * the one question that needs asking later: is the other process with this identity still there?
 *
 * Invariants. Decoding never throws. Unknown fields of a hello are ignored, so that later versions can add
 * some; the version range decides whether two nodes can talk. Nothing longer than `maxHelloBytes` is read.
 */
import { decodeValue, encodeValue } from '../codec.ts';
import { type ErrorCode, QuorateError } from '../errors.ts';
import type { Value } from '../value.ts';

export const helloProtocol = '/quorate/hello/1';
/** Far above any honest frame (about 120 bytes), far below what could hurt. */
export const maxHelloBytes = 1_024;
/** The range of wire versions this code speaks; raised when a protocol changes incompatibly. */
export const wireVersions = { min: 1, max: 1 } as const;

/** In UTF-16 units: two such names and the rest of a hello stay below `maxHelloBytes` in any script. */
export const maxNameLength = 128;
const maxDetailLength = 256;
const instanceLength = 16;

export interface Hello {
  readonly wireMin: number;
  readonly wireMax: number;
  /** Name of the mesh; nodes of different meshes never talk. */
  readonly mesh: string;
  /** Version of the quorate package, for people. */
  readonly version: string;
  /** 16 random bytes drawn at process start: tells two processes with one identity apart. */
  readonly instance: Uint8Array;
  /** The node's start counter, strictly rising over its restarts. */
  readonly epoch: number;
}

/**
 * Why a connection is not admitted. `DUPLICATE` is no error: the two nodes dialled each other at once, and
 * one of the two connections is enough.
 */
export type RefusalCode =
  | Extract<ErrorCode, 'WRONG_MESH' | 'WRONG_VERSION' | 'NOT_ALLOWED' | 'IDENTITY_IN_USE'>
  | 'DUPLICATE';

export type HelloFrame =
  | { readonly type: 'hello'; readonly hello: Hello }
  | { readonly type: 'accept' }
  | { readonly type: 'refuse'; readonly code: RefusalCode; readonly detail: string }
  | { readonly type: 'bye' }
  | { readonly type: 'ping' }
  | { readonly type: 'pong' };

const frameNumbers = { hello: 1, accept: 2, refuse: 3, bye: 4, ping: 5, pong: 6 } as const;
const refusalNumbers: Readonly<Record<RefusalCode, number>> = {
  WRONG_MESH: 1,
  WRONG_VERSION: 2,
  NOT_ALLOWED: 3,
  IDENTITY_IN_USE: 4,
  DUPLICATE: 5,
};
const refusalCodes = new Map<Value, RefusalCode>(
  Object.entries(refusalNumbers).map(([code, number]) => [number, code as RefusalCode]),
);

export function encodeHelloFrame(frame: HelloFrame): Uint8Array {
  const number = frameNumbers[frame.type];
  if (frame.type === 'hello') {
    const { wireMin, wireMax, mesh, version, instance, epoch } = frame.hello;
    return encodeValue([number, { wireMin, wireMax, mesh, version, instance, epoch }]);
  }
  if (frame.type === 'refuse') return encodeValue([number, refusalNumbers[frame.code], clip(frame.detail)]);
  return encodeValue([number]);
}

/** The frame in `bytes`, or undefined for anything that is none. */
export function decodeHelloFrame(bytes: Uint8Array): HelloFrame | undefined {
  if (bytes.length > maxHelloBytes) return undefined;
  const decoded = decodeValue(bytes);
  if (!decoded.ok || !Array.isArray(decoded.value)) return undefined;
  const [number, first, second] = decoded.value as readonly Value[];
  switch (number) {
    case frameNumbers.hello: {
      const hello = readHello(first);
      return hello === undefined ? undefined : { type: 'hello', hello };
    }
    case frameNumbers.accept:
      return { type: 'accept' };
    case frameNumbers.refuse: {
      const code = refusalCodes.get(first);
      if (code === undefined || typeof second !== 'string') return undefined;
      return { type: 'refuse', code, detail: clip(second) };
    }
    case frameNumbers.bye:
      return { type: 'bye' };
    case frameNumbers.ping:
      return { type: 'ping' };
    case frameNumbers.pong:
      return { type: 'pong' };
    default:
      return undefined;
  }
}

function readHello(value: Value): Hello | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { wireMin, wireMax, mesh, version, instance, epoch } = value as Readonly<Record<string, Value>>;
  if (!isCount(wireMin) || !isCount(wireMax) || !isCount(epoch) || wireMin > wireMax) return undefined;
  if (!isName(mesh) || !isName(version)) return undefined;
  if (!(instance instanceof Uint8Array) || instance.length !== instanceLength) return undefined;
  return { wireMin, wireMax, mesh, version, instance, epoch };
}

function isCount(value: Value): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isName(value: Value): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= maxNameLength;
}

function clip(text: string): string {
  return text.slice(0, maxDetailLength);
}

export type Decision =
  | { readonly type: 'admit' }
  /**
   * The peer is connected already. Ask that connection: when it answers, this one is refused with `code`;
   * when not, the other end of it is gone, and this one takes its place.
   */
  | { readonly type: 'probe'; readonly otherwise: Refusal }
  | Refusal;

export interface Refusal {
  readonly type: 'refuse';
  readonly code: RefusalCode;
  readonly detail: string;
}

/** Another connection with the same peer id whose hello is known. */
export interface Rival {
  readonly instance: Uint8Array;
  readonly admitted: boolean;
  /** Which of the two stays when both have the same instance at the other end; both sides must agree. */
  readonly preferred: 'rival' | 'this' | 'neither';
}

export interface DecisionInput {
  readonly mine: Hello;
  readonly theirs: Hello;
  /** Why this peer may not come in, or undefined when it may. */
  readonly denial: string | undefined;
  readonly rival: Rival | undefined;
}

/** Judges the other side's hello; deterministic, and symmetric but for `denial` and `rival`. */
export function decide(input: DecisionInput): Decision {
  const { mine, theirs, rival } = input;
  if (input.denial !== undefined) return { type: 'refuse', code: 'NOT_ALLOWED', detail: input.denial };
  if (mine.mesh !== theirs.mesh) {
    return { type: 'refuse', code: 'WRONG_MESH', detail: `this node is in mesh "${mine.mesh}", not "${theirs.mesh}"` };
  }
  if (mine.wireMax < theirs.wireMin || theirs.wireMax < mine.wireMin) {
    const detail = `this node (quorate ${mine.version}) speaks wire versions ${mine.wireMin} to ${mine.wireMax}, the other (quorate ${theirs.version}) ${theirs.wireMin} to ${theirs.wireMax}`;
    return { type: 'refuse', code: 'WRONG_VERSION', detail };
  }
  return rival === undefined ? { type: 'admit' } : decideBesideRival(theirs, rival);
}

function decideBesideRival(theirs: Hello, rival: Rival): Decision {
  if (!sameBytes(rival.instance, theirs.instance)) {
    return rival.admitted ? { type: 'probe', otherwise: identityInUse } : { type: 'admit' };
  }
  // Both ends keep the connection that the lower node id dialled, so that they never refuse one each.
  if (rival.preferred === 'this') return { type: 'admit' };
  if (rival.admitted) return { type: 'probe', otherwise: duplicate };
  return rival.preferred === 'rival' ? duplicate : { type: 'admit' };
}

const identityInUse: Refusal = {
  type: 'refuse',
  code: 'IDENTITY_IN_USE',
  detail: 'another running process with the same node key is already connected here',
};

export const duplicate: Refusal = {
  type: 'refuse',
  code: 'DUPLICATE',
  detail: 'the two nodes are already connected',
};

/** What `connect` rejects with after a refusal said by either side. */
export function refusalError(code: RefusalCode, detail: string, by: 'us' | 'them', address: string): QuorateError {
  const who = by === 'us' ? `This node refused the one at ${address}` : `The node at ${address} refused this one`;
  const message = `${who}: ${detail}. ${remedies[code]}`;
  return new QuorateError(code === 'DUPLICATE' ? 'PEER_UNREACHABLE' : code, message, { address, by });
}

const remedies: Readonly<Record<RefusalCode, string>> = {
  WRONG_MESH: 'Give both nodes the same mesh name, or dial an address of your own mesh.',
  WRONG_VERSION: 'Update the older of the two to a version of quorate that the other understands.',
  NOT_ALLOWED: 'Add the node id to the allow-list of the refusing node if it should be let in.',
  DUPLICATE: 'Nothing needs to be done.',
  IDENTITY_IN_USE: 'Stop the other process, or give each node its own data directory and thereby its own key.',
};

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
