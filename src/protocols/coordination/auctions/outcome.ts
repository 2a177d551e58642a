/**
 * Who wins a sealed or English auction, and at which price. Pure.
 *
 * Second price (Vickrey, "Counterspeculation, auctions, and competitive sealed tenders", Journal of Finance 16, 1961): the winner pays what it
 * had to beat, max(second highest, reserve), which does not depend on its own bid. So nobody gains by bidding anything but what the
 * resource is worth to it: more only adds cases in which it pays more than that, less only cases in which it loses what it wanted at that price.
 *
 * Ties go to the bid that stands earlier in the log: the same at every replica. A second-price winner of a tie pays its own
 * bid, so who bids its value gains nothing by winning it, and neither does who bids early: amounts are hidden until bidding is over, so
 * to be early, or to put one's commitment early as the primary of the group, cannot be aimed at a tie, and changes no price.
 */
import type { BidReceipt } from './auctions.ts';

/** A bid whose amount is known; `order` is its place in the log, different for each. */
export interface StandingBid extends BidReceipt {
  readonly order: number;
}

export interface Sale {
  readonly winner: StandingBid;
  readonly price: number;
}

/** Highest first, earlier first among equals. */
export function ranked(bids: readonly StandingBid[]): StandingBid[] {
  return [...bids].sort((a, b) => b.amount - a.amount || a.order - b.order);
}

/** Undefined: no bid reaches the reserve, nothing is sold. A lone bidder at second price pays the reserve. */
export function decide(pricing: 'own' | 'second', reserve: number, bids: readonly StandingBid[]): Sale | undefined {
  const [winner, second] = ranked(bids);
  if (winner === undefined || winner.amount < reserve) return undefined;
  const price = pricing === 'own' ? winner.amount : Math.max(second?.amount ?? 0, reserve);
  return { winner, price };
}
