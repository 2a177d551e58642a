/**
 * Two honest replicas with one identity and one key (Bano et al., "Twins", OPODIS 2021): each talks to its
 * half of the others, so the identity equivocates, votes twice and forgets, all in well-formed messages.
 */
import type { Effect, Input } from '../../../../src/protocols/pbft/effects.ts';
import { step } from '../../../../src/protocols/pbft/replica.ts';
import { createReplica, type ReplicaState } from '../../../../src/protocols/pbft/state.ts';
import { validate } from '../../../../src/protocols/pbft/validate.ts';
import type { Adversary, Corruption } from '../node.ts';

export function twins({ world, peers, setup, keys, send }: Corruption): Adversary {
  const second = new Set(peers.filter(() => world.rng.float() < 0.5));
  const shared = world.rng.float() < 0.5;
  const twin: ReplicaState = createReplica(setup());
  const feed = (input: Input): void => {
    const now = { monotonicMs: world.now, wallMs: 1_700_000_000_000 + world.now };
    for (const effect of step(twin, input, now)) carryOut(effect);
  };
  const carryOut = (effect: Effect): void => {
    if (effect.type !== 'send') return;
    for (const to of effect.to) if (second.has(to) || !peers.includes(to)) send(to, effect.message);
  };
  return {
    name: 'twins',
    outgoing: (to, message) => (second.has(to) ? [] : [message]),
    incoming(from, bytes) {
      const toTwin = second.has(from) || shared || !peers.includes(from);
      const accepted = toTwin ? validate(bytes, from, twin.context, keys.verify) : 'malformed';
      if (typeof accepted !== 'string') feed({ type: 'message', accepted });
      return !second.has(from) || shared;
    },
    tick: () => feed({ type: 'wake' }),
  };
}
