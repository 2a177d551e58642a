/** What the reducer of barriers is told and asked, and the statement by which a node says that its participant has come. */
import * as v from 'valibot';
import { Writer } from '../../pbft/wire.ts';
import { nameSchema, termsSchema } from './terms.ts';

/** Arrivals in one command; each costs every replica the check of a signature. */
export const maxRelayedArrivals = 64;
/** Participants reported lost in one command. */
export const maxReports = 32;

const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Names one generation of one barrier: a barrier that was forgotten and made anew has another epoch. */
export const atSchema = v.strictObject({ id: nameSchema, epoch: positive, generation: positive });
export type GenerationRef = v.InferOutput<typeof atSchema>;

const sized = (bytes: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'no bytes'),
    v.check((value) => value.length === bytes, `not ${bytes} bytes`),
  );
export const nonceSchema = sized(16);
export const signatureSchema = sized(64);
export const nodeSchema = v.pipe(v.string(), v.minLength(1), v.maxLength(64));
export const attemptSchema = positive;
const lostSchema = v.pipe(v.array(nameSchema), v.maxLength(maxReports));

export const commandSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('barrier.open'), id: nameSchema, terms: termsSchema, nonce: nonceSchema }),
  v.strictObject({
    kind: v.literal('barrier.arrive'),
    at: atSchema,
    as: nameSchema,
    zone: nameSchema,
    attempt: attemptSchema,
  }),
  v.strictObject({
    kind: v.literal('barrier.relay'),
    at: atSchema,
    zone: nameSchema,
    arrivals: v.pipe(
      v.array(v.strictObject({ node: nodeSchema, as: nameSchema, attempt: attemptSchema, signature: signatureSchema })),
      v.minLength(1),
      v.maxLength(maxRelayedArrivals),
    ),
  }),
  v.strictObject({
    kind: v.literal('barrier.renew'),
    at: atSchema,
    as: nameSchema,
    attempt: attemptSchema,
    lost: lostSchema,
  }),
  v.strictObject({ kind: v.literal('barrier.report'), at: atSchema, lost: lostSchema }),
  v.strictObject({ kind: v.literal('barrier.withdraw'), at: atSchema, as: nameSchema, attempt: attemptSchema }),
]);
export type BarrierCommand = v.InferOutput<typeof commandSchema>;
export type RelayedArrival = Extract<BarrierCommand, { kind: 'barrier.relay' }>['arrivals'][number];

export const querySchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('barrier.status'), id: nameSchema }),
  v.strictObject({ kind: v.literal('barrier.outcome'), at: atSchema }),
]);
export type BarrierQuery = v.InferOutput<typeof querySchema>;

/** How a generation ended, as it travels. */
export const outcomeSchema = v.strictObject({
  generation: positive,
  opened: v.boolean(),
  /** Why it is broken; empty when it opened. */
  reason: v.picklist(['', 'lost', 'deadline', 'below-minimum']),
  arrived: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  missing: v.array(nameSchema),
  missingUnnamed: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** 0 when broken. */
  token: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type Outcome = v.InferOutput<typeof outcomeSchema>;

/** An outcome with the barrier it is of: what events and certificates say. */
export const announcementSchema = v.strictObject({ id: nameSchema, epoch: positive, outcome: outcomeSchema });

/** Topics of events: the outcome of each generation. */
export const topicOf = (id: string): string => `barrier/${id}`;

export interface ArrivalStatement {
  readonly at: GenerationRef;
  /** Of the barrier, drawn by whoever made it: keeps the statement out of other meshes. */
  readonly nonce: Uint8Array;
  readonly zone: string;
  readonly as: string;
  /** Rises with every try of this participant; one that was withdrawn is void, whoever still holds it. */
  readonly attempt: number;
}

const text = new TextEncoder();
const domain = text.encode('quorate/barrier-arrival/1');

/** What a node signs so that another can tell the validators for it. */
export function arrivalBytes({ at, nonce, zone, as, attempt }: ArrivalStatement): Uint8Array {
  return new Writer()
    .bytes(domain)
    .bytes(text.encode(at.id))
    .bytes(nonce)
    .uint(at.epoch)
    .uint(at.generation)
    .bytes(text.encode(zone))
    .bytes(text.encode(as))
    .uint(attempt)
    .finish();
}
