/** Bounds of quotas; every replica must have the same, so they are constants. */

/** Limits, each key of a limit one, in use at a time. */
export const maxLimits = 10_000;
/** Nodes remembered for each limit; of more the one seen longest ago is forgotten. */
export const maxClients = 64;
/** Tokens per second, and of a bucket. */
export const maxQuotaRate = 1e9;
/** A limit that nobody asked for so long, and whose bucket is full, is forgotten. Agreed milliseconds, as those below. */
export const forgottenAfterMs = 60_000;
/** Who got how much is counted for one to two of these. */
export const countedMs = 1_000;
/** Who got less than it wanted is held to want more for so long. */
export const askedAgainMs = 250;
