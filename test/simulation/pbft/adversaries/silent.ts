/** Hears everything and says nothing. */
import type { Adversary } from '../node.ts';

export const silent = (): Adversary => ({ name: 'silent', outgoing: () => [] });
