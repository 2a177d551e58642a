/** Bounds of auctions; every replica must have the same, so they are constants. Each answer fits `maxAnswerBytes` with room. */

/** Auctions that are not over, in all and opened by one node. Guesses: more would weigh on snapshots. */
export const maxOpen = 1_000;
export const maxOpenPerNode = 100;
/** Finished auctions that are kept, in all and of one opener, and for how long, milliseconds. */
export const maxFinished = 1_000;
export const maxFinishedPerNode = 100;
export const keepFinishedMs = 3_600_000;
/** Bidders of one auction. */
export const maxBidders = 256;
/** Agents of one node in an auction that names nobody, so that one node cannot keep the others out. */
export const maxBiddersPerNode = 16;
/** Names of all bidders of one auction together, bytes. */
export const maxNamesBytes = 16_384;
/** The description of the resource, encoded, bytes. */
export const maxResourceBytes = 16_384;
/** Auctions in one page of a list. */
export const pageSize = 200;
/** Any duration, milliseconds: 30 days. */
export const maxDurationMs = 30 * 86_400_000;
/** Steps of a Dutch auction and how short one may be, milliseconds: each costs the group one command. */
export const maxSteps = 10_000;
export const minStepMs = 10;
