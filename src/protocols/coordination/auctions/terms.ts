/** Terms as they are ordered, the rules they must keep, and how long an auction under them can last. */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import { maxBidders, maxDurationMs, maxNamesBytes, maxResourceBytes, maxSteps, minStepMs } from './limits.ts';

/** The smallest unit, whole; −0 is 0. */
export const amountSchema = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(0),
  v.transform((amount) => amount + 0),
);
const positive = v.pipe(amountSchema, v.minValue(1));
const duration = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(maxDurationMs));
export const agentSchema = v.pipe(v.string(), v.minLength(1), v.maxBytes(256));
/** Whose id it is shows when it submits; a node id that is none can never bid. */
export const nodeSchema = v.custom<NodeId>((id) => typeof id === 'string' && id.length > 0 && id.length <= 64);

/** `instance` would ask for bytes with a buffer of their own type. */
export const bytesSchema = v.custom<Uint8Array>((bytes) => bytes instanceof Uint8Array);

const common = {
  resource: v.pipe(bytesSchema, v.maxLength(maxResourceBytes)),
  reserve: amountSchema,
  bidders: v.exactOptional(
    v.pipe(
      v.array(v.strictObject({ agent: agentSchema, node: nodeSchema })),
      v.minLength(1),
      v.maxLength(maxBidders),
      v.check((bidders) => new Set(bidders.map(({ agent }) => agent)).size === bidders.length, 'an agent twice'),
      v.check(
        (bidders) => bidders.reduce((sum, { agent }) => sum + Buffer.byteLength(agent), 0) <= maxNamesBytes,
        `the names together exceed ${maxNamesBytes} bytes`,
      ),
    ),
  ),
};

const sealedTerms = v.strictObject({
  mechanism: v.picklist(['sealedBidSecondPrice', 'sealedBidFirstPrice']),
  bidMs: duration,
  revealMs: duration,
  ...common,
});
const englishTerms = v.strictObject({
  mechanism: v.literal('english'),
  bidMs: duration,
  startPrice: amountSchema,
  increment: positive,
  quietMs: duration,
  hardEndMs: duration,
  ...common,
});
const dutchTerms = v.strictObject({
  mechanism: v.literal('dutch'),
  startPrice: amountSchema,
  stepBy: positive,
  stepMs: v.pipe(duration, v.minValue(minStepMs)),
  ...common,
});

export type DutchTerms = v.InferOutput<typeof dutchTerms>;
/** Terms with the resource as encoded bytes: reducers never look into it. */
export type OrderedTerms = v.InferOutput<typeof sealedTerms> | v.InferOutput<typeof englishTerms> | DutchTerms;

export const termsSchema = v.pipe(
  v.variant('mechanism', [sealedTerms, englishTerms, dutchTerms]),
  v.check(
    (terms) => terms.mechanism !== 'english' || terms.hardEndMs >= terms.bidMs,
    'hardEndMs is shorter than bidMs',
  ),
  v.check(
    (terms) => terms.mechanism !== 'dutch' || terms.startPrice >= terms.reserve,
    'startPrice is below the reserve',
  ),
  v.check((terms) => terms.mechanism !== 'dutch' || dutchSteps(terms) <= maxSteps, `more than ${maxSteps} steps`),
  v.check((terms) => longestMs(terms) <= 2 * maxDurationMs, 'it would last longer than 60 days'),
);

/** How often the price falls until it is the reserve. */
function dutchSteps({ startPrice, reserve, stepBy }: Pick<DutchTerms, 'startPrice' | 'reserve' | 'stepBy'>): number {
  return Math.ceil((startPrice - reserve) / stepBy);
}

/** The price after this much agreed time; never below the reserve. */
export function dutchPrice(terms: DutchTerms, elapsedMs: number): number {
  const steps = Math.floor(elapsedMs / terms.stepMs);
  if (steps >= dutchSteps(terms)) return terms.reserve;
  return Math.max(terms.reserve, terms.startPrice - steps * terms.stepBy);
}

/** The longest an auction can last if agreed time goes as it should, milliseconds. */
export function longestMs(terms: OrderedTerms): number {
  if (terms.mechanism === 'english') return terms.hardEndMs;
  if (terms.mechanism === 'dutch') return (dutchSteps(terms) + 1) * terms.stepMs;
  return terms.bidMs + terms.revealMs;
}
