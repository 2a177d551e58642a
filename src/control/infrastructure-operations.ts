/** Breakers, limits and monitors of the running node, and what an operator may do about a breaker. */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import { checked, given, nothing, type Operation, text } from './operation.ts';

const resetArgs = v.strictObject({ id: text, agent: v.optional(text) });
const tripArgs = v.strictObject({ id: text, agent: v.optional(text), ms: v.optional(v.number()) });

function breakerOf(mesh: Mesh, id: string): NonNullable<ReturnType<Mesh['infrastructure']['breaker']>> {
  const breaker = mesh.infrastructure.breaker(id);
  if (breaker !== undefined) return breaker;
  const ids = mesh.infrastructure.status().breakers.map((one) => one.id);
  const there = ids.length === 0 ? 'it has none' : `it has ${ids.slice(0, 20).join(', ')}`;
  throw new QuorateError('NOT_FOUND', `This node has no breaker '${id}': ${there}. Ask a node that calls through it.`, {
    id,
    breakers: ids,
  });
}

type Part = keyof ReturnType<Mesh['infrastructure']['status']>;

const show = (part: Part): Operation => ({
  deadlineMs: 5_000,
  async run(mesh, args) {
    checked(nothing, args);
    return { self: mesh.id, [part]: mesh.infrastructure.status()[part] } as unknown as Value;
  },
});

export const infrastructureOperations: Readonly<Record<string, Operation>> = {
  breakers: show('breakers'),
  limits: show('limiters'),
  monitors: show('monitors'),
  'breakers.reset': {
    deadlineMs: 5_000,
    async run(mesh, args) {
      const { id, agent } = checked(resetArgs, args);
      const breaker = breakerOf(mesh, id);
      breaker.reset(agent);
      return breaker.status() as unknown as Value;
    },
  },
  'breakers.trip': {
    deadlineMs: 5_000,
    async run(mesh, args) {
      const { id, ...options } = checked(tripArgs, args);
      const breaker = breakerOf(mesh, id);
      breaker.trip(given(options));
      return breaker.status() as unknown as Value;
    },
  },
};
