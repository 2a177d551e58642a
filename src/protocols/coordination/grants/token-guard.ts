/**
 * The other half of a lease: what stands in front of the protected thing and refuses who held it once.
 *
 * A holder can be stopped between its last look at the clock and its write, for any length of time. Tokens only rise, so
 * a resource that has seen a higher one knows that the holder of this one is late. (Gray & Cheriton 1989 for leases; the token is
 * what Chubby calls a sequencer, Burrows, OSDI 2006, section 2.4.)
 */
import { QuorateError } from '../../../errors.ts';

export class TokenGuard {
  #highest: number;

  /**
   * `highest`: what was seen before, kept with the resource. A guard that forgets at a restart lets one late holder through, so keep it
   * where the protected thing is kept, and write both at once.
   *
   * @example
   * const guard = new TokenGuard(row.token);
   * guard.check(request.token); // throws STALE_TOKEN
   * await save({ ...row, ...request.changes, token: guard.highest });
   */
  constructor(highest = 0) {
    this.#highest = whole(highest);
  }

  /** The highest token seen. */
  get highest(): number {
    return this.#highest;
  }

  /** Lets the same or a higher token pass and remembers it. Throws `STALE_TOKEN` for a lower one, `INVALID_ARGUMENT` for what is no token. */
  check(token: number): void {
    if (whole(token) < this.#highest) {
      throw new QuorateError(
        'STALE_TOKEN',
        `Fencing token ${token} is from before ${this.#highest}, which was seen already: the grant it belongs to is over. Stop, and acquire anew.`,
        { token, highest: this.#highest },
      );
    }
    this.#highest = token;
  }
}

function whole(token: number): number {
  if (Number.isSafeInteger(token) && token >= 0) return token;
  throw new QuorateError('INVALID_ARGUMENT', `A fencing token is a whole number from 0 on, not ${String(token)}.`, {
    fields: { token: 'no whole number from 0 on' },
  });
}
