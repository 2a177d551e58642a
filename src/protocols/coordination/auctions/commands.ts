/** What can be ordered and asked of auctions, as schemas. `opening` tells an auction from an earlier one of the same id. */
import * as v from 'valibot';
import { agentSchema, amountSchema, bytesSchema, nodeSchema, termsSchema } from './terms.ts';

export const idSchema = v.pipe(v.string(), v.minLength(1), v.maxBytes(256));
const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const digestSchema = v.pipe(bytesSchema, v.length(32));
/** Initialization vector, opening and tag of AES-GCM: as long for every amount (`sealing.ts`). */
export const sealedBytes = 12 + 40 + 16;

const bidding = { id: idSchema, opening: countSchema, agent: agentSchema };

export const commandSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('auction.open'), id: idSchema, terms: termsSchema }),
  v.strictObject({
    kind: v.literal('auction.commit'),
    ...bidding,
    commitment: digestSchema,
    /** The opening, for the bidder's own node alone: so a restart loses nothing. */
    sealed: v.pipe(bytesSchema, v.length(sealedBytes)),
    /** Rises with each bid of the agent, so that one that comes late does not replace a newer one. */
    number: countSchema,
  }),
  v.strictObject({ kind: v.literal('auction.reveal'), ...bidding, amount: amountSchema, nonce: digestSchema }),
  v.strictObject({ kind: v.literal('auction.bid'), ...bidding, amount: amountSchema }),
]);
export type AuctionCommand = v.InferOutput<typeof commandSchema>;
export type CommandOf<Kind extends AuctionCommand['kind']> = Extract<AuctionCommand, { kind: Kind }>;

export const querySchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('auction.inspect'), id: idSchema, opening: v.exactOptional(countSchema) }),
  /** Commitments of a node that are not revealed yet. */
  v.strictObject({ kind: v.literal('auction.sealed'), id: idSchema, opening: countSchema, node: nodeSchema }),
  /** Auctions that are not over, one page in the order of their openings; with `node` only those it may bid in. */
  v.strictObject({ kind: v.literal('auction.list'), after: countSchema, node: v.exactOptional(nodeSchema) }),
]);
export type AuctionQuery = v.InferOutput<typeof querySchema>;

/** Topics: what happens in one auction; which were opened for one node; which for everybody. */
export const topics = {
  auction: (id: string): string => `auction/id/${id}`,
  invited: (node: string): string => `auction/invited/${node}`,
  open: 'auction/open',
};

/** Why a bid is refused with `NOT_PERMITTED`. */
export type Forbidden = 'not-invited' | 'bidding-is-over' | 'still-bidding';
