/** A barrier as a value, and back. Lists whose order is part of the state stay in that order. */
import * as v from 'valibot';
import type { Value } from '../../../value.ts';
import { nodeSchema, nonceSchema, outcomeSchema } from './commands.ts';
import { Generations } from './generations.ts';
import { nameSchema, termsSchema } from './terms.ts';

export function snapshotOfBarrier(barrier: Generations): Value {
  return {
    id: barrier.id,
    terms: barrier.terms,
    epoch: barrier.epoch,
    nonce: barrier.nonce,
    generation: barrier.generation,
    firstArrivalAt: barrier.firstArrivalAt ?? null,
    arrivals: [...barrier.arrivals.values()].map(({ node, as, zone, attempt, until }) => [
      node,
      as,
      zone,
      attempt,
      until,
    ]),
    lapsed: [...barrier.lapsed].map(([key, { as, zone }]) => [key, as, zone]),
    reported: [...barrier.reported],
    reports: [...barrier.reports],
    withdrawn: [...barrier.withdrawn],
    ended: barrier.ended.map(({ outcome, attended }) => ({ outcome, attended: [...attended] })),
  };
}

const pairs = v.array(v.strictTuple([v.string(), v.number()]));
const schema = v.array(
  v.strictObject({
    id: nameSchema,
    terms: termsSchema,
    epoch: v.number(),
    nonce: nonceSchema,
    generation: v.number(),
    firstArrivalAt: v.nullable(v.number()),
    arrivals: v.array(v.strictTuple([nodeSchema, nameSchema, nameSchema, v.number(), v.number()])),
    lapsed: v.array(v.strictTuple([v.string(), nameSchema, nameSchema])),
    reported: v.array(nameSchema),
    reports: v.array(v.strictTuple([nameSchema, nodeSchema])),
    withdrawn: pairs,
    ended: v.array(v.strictObject({ outcome: outcomeSchema, attended: pairs })),
  }),
);

/** Throws for what `snapshotOfBarrier` has not made. */
export function barriersFromSnapshot(snapshot: Value): Generations[] {
  return v.parse(schema, snapshot).map((saved) => {
    const barrier = new Generations(saved.id, saved.terms, saved.epoch, saved.nonce);
    barrier.generation = saved.generation;
    barrier.firstArrivalAt = saved.firstArrivalAt ?? undefined;
    for (const [node, as, zone, attempt, until] of saved.arrivals) barrier.place({ node, as, zone, attempt, until });
    for (const [key, as, zone] of saved.lapsed) barrier.lapsed.set(key, { as, zone });
    for (const agent of saved.reported) barrier.reported.add(agent);
    for (const [agent, reporter] of saved.reports) barrier.reports.set(agent, reporter);
    for (const [participant, attempt] of saved.withdrawn) barrier.withdrawn.set(participant, attempt);
    barrier.ended = saved.ended.map(({ outcome, attended }) => ({ outcome, attended: new Map(attended) }));
    return barrier;
  });
}
