/** What the certificate of an auction states, for who was not there. */
import * as v from 'valibot';
import { decodeValue } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';
import type { Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import type { AuctionMechanism, AuctionResult } from './auctions.ts';
import { resultSchema } from './book.ts';

export interface AuctionStatement extends AuctionResult {
  readonly auction: string;
  readonly resource: Value;
  readonly mechanism: AuctionMechanism;
  readonly reserve: number;
}

const statementSchema = v.strictObject({
  auction: v.string(),
  opening: v.number(),
  resource: v.instance(Uint8Array),
  mechanism: v.picklist(['sealedBidSecondPrice', 'sealedBidFirstPrice', 'english', 'dutch']),
  reserve: v.number(),
  ...resultSchema.entries,
});

/**
 * What a certificate says of an auction. It only reads: verify the certificate first, or anybody may have written it.
 * Throws `CERTIFICATE_INVALID` when it is not of an auction.
 *
 * @example
 * const { resource, winner, price } = readAuctionCertificate(certificate);
 */
export function readAuctionCertificate({ statement }: Certificate): AuctionStatement {
  const decoded = decodeValue(statement);
  const checked = v.safeParse(statementSchema, decoded.ok ? decoded.value : undefined);
  if (!checked.success) {
    const message = 'This certificate does not state the result of an auction. Read it as what it was made for.';
    throw new QuorateError('CERTIFICATE_INVALID', message, { reason: 'not of an auction' });
  }
  const { opening: _, resource, ...rest } = checked.output;
  const described = decodeValue(resource);
  return { ...rest, resource: described.ok ? described.value : undefined };
}
