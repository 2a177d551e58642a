/** What the nodes of a zone say to each other about a barrier. Bytes from others never throw. */
import * as v from 'valibot';
import { decodePayload, encodePayload } from '../../../payload.ts';
import { atSchema, attemptSchema, nonceSchema, outcomeSchema, signatureSchema } from './commands.ts';
import { maxParticipants, nameSchema } from './terms.ts';
import { maxZoneMessageBytes } from './zone-link.ts';

const one = { at: atSchema, as: nameSchema, attempt: attemptSchema };

const frameSchema = v.variant('t', [
  /** To the aggregator: tell the validators that this participant has come. */
  v.strictObject({
    t: v.literal('arrive'),
    ...one,
    nonce: nonceSchema,
    zone: nameSchema,
    signature: signatureSchema,
    /** How many the sender expects from the zone; 0: it cannot know. */
    share: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(maxParticipants)),
    /** How long the aggregator may wait for the rest of the zone, milliseconds. */
    patienceMs: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(60_000)),
  }),
  /** Back: it will be told. */
  v.strictObject({ t: v.literal('taken'), ...one }),
  /** Back: it will not, or could not; do it yourself. */
  v.strictObject({ t: v.literal('refused'), ...one }),
  /** Back: how the generation ended, with a certificate where one could be had. Without, it is only a hint to ask. */
  v.strictObject({
    t: v.literal('over'),
    at: atSchema,
    outcome: outcomeSchema,
    certificate: v.nullable(v.custom<Uint8Array>((value) => value instanceof Uint8Array)),
  }),
]);
export type ZoneFrame = v.InferOutput<typeof frameSchema>;
export type ArriveFrame = Extract<ZoneFrame, { t: 'arrive' }>;
export type OverFrame = Extract<ZoneFrame, { t: 'over' }>;

/** Throws `PAYLOAD_TOO_LARGE` for a certificate that does not fit. */
export function encodeZoneFrame(frame: ZoneFrame): Uint8Array {
  return encodePayload(frame, maxZoneMessageBytes);
}

export function decodeZoneFrame(bytes: Uint8Array): ZoneFrame | undefined {
  if (bytes.length > maxZoneMessageBytes) return undefined;
  const decoded = decodePayload(bytes);
  if (!decoded.ok) return undefined;
  const checked = v.safeParse(frameSchema, decoded.value, { abortEarly: true });
  return checked.success ? checked.output : undefined;
}
