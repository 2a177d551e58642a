/**
 * What nodes and validators say to each other beside the agreement itself: who rules, what happened, and signatures for certificates. Each frame is one CBOR map
 * with its `type`.
 */
import * as v from 'valibot';
import { decodePayload, encodePayload } from '../../../payload.ts';
import { maxAnswerBytes, maxCommandBytes } from '../machine/limits.ts';
import { maxDefinitionBytes } from './definition.ts';

export const groupProtocol = '/quorate/coordination/1';
/** An event or statement with its head, or the way to the present validators. */
export const maxGroupFrameBytes = 1 << 20;
const maxTopicLength = 1_024;

const bytes = (most: number) =>
  v.custom<Uint8Array>(
    (input) => input instanceof Uint8Array && input.length <= most,
    `must have at most ${most} bytes`,
  );
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const topic = v.pipe(v.string(), v.minLength(1), v.maxLength(maxTopicLength));
/** Ed25519. */
const signature = v.custom<Uint8Array>(
  (input) => input instanceof Uint8Array && input.length === 64,
  'must have 64 bytes',
);
/** Checkpoint proofs, one for each change of validators. */
const succession = v.pipe(v.array(bytes(maxGroupFrameBytes)), v.maxLength(1_024));

const frames = v.variant('type', [
  /** Which group does this mesh have? */
  v.strictObject({ type: v.literal('which') }),
  /** The definition, and an encoded `catchUp` of the agreement protocol that leads to the present validators, where there were changes. */
  v.strictObject({
    type: v.literal('group'),
    definition: v.optional(bytes(maxDefinitionBytes)),
    catchUp: v.optional(bytes(maxGroupFrameBytes)),
  }),
  v.strictObject({ type: v.literal('subscribe'), topic }),
  v.strictObject({ type: v.literal('unsubscribe'), topic }),
  /** From now on events of the topic are sent. */
  v.strictObject({ type: v.literal('subscribed'), topic }),
  v.strictObject({ type: v.literal('event'), topic, revision: whole, payload: bytes(maxAnswerBytes) }),
  /** Events may have been missed. */
  v.strictObject({ type: v.literal('gap') }),
  v.strictObject({ type: v.literal('certify'), id: whole, query: bytes(maxCommandBytes) }),
  /** Without a statement: it is not settled, as far as this validator knows. */
  v.strictObject({
    type: v.literal('certified'),
    id: whole,
    epoch: whole,
    statement: v.optional(bytes(maxAnswerBytes)),
    signature: v.optional(signature),
    succession,
  }),
  /** How is it going? */
  v.strictObject({ type: v.literal('health'), id: whole }),
  v.strictObject({
    type: v.literal('healthy'),
    id: whole,
    epoch: whole,
    view: whole,
    active: v.boolean(),
    executed: whole,
    stable: whole,
    logBytes: whole,
  }),
]);

export type GroupFrame = v.InferOutput<typeof frames>;

export function encodeGroupFrame(frame: GroupFrame): Uint8Array {
  return encodePayload(frame, maxGroupFrameBytes);
}

/** The frame in `bytes`, or undefined: bytes from outside never throw. */
export function decodeGroupFrame(bytes: Uint8Array): GroupFrame | undefined {
  if (bytes.length > maxGroupFrameBytes) return undefined;
  const decoded = decodePayload(bytes);
  const parsed = v.safeParse(frames, decoded.ok ? decoded.value : undefined, { abortEarly: true });
  return parsed.success ? parsed.output : undefined;
}
