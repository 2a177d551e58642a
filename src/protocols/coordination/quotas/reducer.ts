/**
 * Quotas: one token bucket by limit, filled in agreed time.
 *
 * Intuition: the validators give out tokens, and nobody else does; so what nodes use together is bounded by what was given, whatever they or the network do. When several want more
 * than there is, those who got least lately come first, and who got more is given only what is over half of the bucket.
 *
 * Invariants: between any two moments of agreed time at most `rate × time + capacity` tokens of a limit are granted; a request is granted at most what it wants; while somebody who
 * got less is hungry, half of the bucket is kept for it; a limit is forgotten only when its bucket would be full.
 */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { maxNameLength } from '../machine/limits.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import { askedAgainMs, countedMs, forgottenAfterMs, maxClients, maxLimits, maxQuotaRate } from './limits.ts';

const limit = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength));
const rate = v.pipe(v.number(), v.minValue(1e-6), v.maxValue(maxQuotaRate));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const capacity = v.pipe(whole, v.minValue(1), v.maxValue(maxQuotaRate));

const take = v.strictObject({
  kind: v.literal('quotas.take'),
  limit,
  rate,
  capacity,
  want: v.pipe(whole, v.minValue(1)),
});
/** What a limit is in use with: `[rate, capacity]`, or nothing. */
const terms = v.strictObject({ kind: v.literal('quotas.terms'), limit });

export type QuotasCommand = v.InferOutput<typeof take>;
export type QuotasQuery = v.InferOutput<typeof terms>;

interface Client {
  /** Granted in this stretch of `countedMs`, and in the one before. */
  granted: number;
  grantedBefore: number;
  stretch: number;
  /** It wanted more than it got, and is held to want it until then. */
  hungryUntil: number;
}

interface Bucket {
  readonly rate: number;
  readonly capacity: number;
  tokens: number;
  at: number;
  /** The one seen last at the end. */
  readonly clients: Map<NodeId, Client>;
}

const finite = v.pipe(v.number(), v.finite());
const clientSchema = v.strictTuple([v.string(), whole, whole, whole, finite]);
const bucketSchema = v.strictTuple([limit, rate, capacity, finite, finite, v.array(clientSchema)]);
const snapshotSchema = v.array(bucketSchema);

export class QuotasReducer implements Reducer<QuotasCommand, QuotasQuery> {
  readonly name = 'quotas';
  readonly commands = take;
  readonly queries = terms;
  readonly #buckets = new Map<string, Bucket>();

  apply(command: QuotasCommand, context: ReducerContext): Answer {
    const { time, client } = context;
    if (client === undefined) return refused('INVALID_ARGUMENT', { reason: 'nobody asks' });
    if (command.want > command.capacity) return refused('INVALID_ARGUMENT', { reason: 'want: more than capacity' });
    let bucket = this.#buckets.get(command.limit);
    if (bucket === undefined) {
      if (this.#buckets.size >= maxLimits) return refused('LIMIT_EXCEEDED', { limit: maxLimits, what: 'quotas' });
      bucket = {
        rate: command.rate,
        capacity: command.capacity,
        tokens: command.capacity,
        at: time,
        clients: new Map(),
      };
      this.#buckets.set(command.limit, bucket);
    }
    if (bucket.rate !== command.rate || bucket.capacity !== command.capacity) {
      return refused('CONFLICT', { name: command.limit, rate: bucket.rate, capacity: bucket.capacity });
    }
    fill(bucket, time);
    context.schedule(command.limit, time + lifeOf(bucket));
    return done(grant(bucket, client, command.want, time));
  }

  query(query: QuotasQuery): Answer {
    const bucket = this.#buckets.get(query.limit);
    return done(bucket === undefined ? undefined : [bucket.rate, bucket.capacity]);
  }

  expire(key: string): void {
    this.#buckets.delete(key);
  }

  settled(): undefined {
    return undefined;
  }

  snapshot(): Value {
    const sorted = [...this.#buckets].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([name, bucket]) => [
      name,
      bucket.rate,
      bucket.capacity,
      bucket.tokens,
      bucket.at,
      [...bucket.clients].map(([node, { granted, grantedBefore, stretch, hungryUntil }]) => [
        node,
        granted,
        grantedBefore,
        stretch,
        hungryUntil,
      ]),
    ]);
  }

  restore(snapshot: Value): void {
    this.#buckets.clear();
    for (const [name, perSecond, holds, tokens, at, clients] of v.parse(snapshotSchema, snapshot)) {
      const known = clients.map(([node, granted, grantedBefore, stretch, hungryUntil]): [NodeId, Client] => [
        node as NodeId,
        { granted, grantedBefore, stretch, hungryUntil },
      ]);
      this.#buckets.set(name, { rate: perSecond, capacity: holds, tokens, at, clients: new Map(known) });
    }
  }
}

/** `[granted, retryAfterMs]`. */
function grant(bucket: Bucket, node: NodeId, want: number, time: number): Value {
  const client = clientOf(bucket, node, time);
  const mine = client.granted + client.grantedBefore;
  let hungry = 0;
  let someoneHasLess = false;
  for (const [other, counts] of bucket.clients) {
    if (other === node || counts.hungryUntil <= time) continue;
    hungry += 1;
    roll(counts, time);
    someoneHasLess ||= counts.granted + counts.grantedBefore < mine;
  }
  const kept = someoneHasLess ? bucket.capacity / 2 : 0;
  const granted = Math.max(0, Math.min(want, Math.floor(bucket.tokens - kept)));
  bucket.tokens -= granted;
  client.granted += granted;
  client.hungryUntil = granted < want ? time + askedAgainMs : 0;
  if (granted === want) return [granted, 0];
  // Soon enough for a good part of the rest, and the later the more there are who want it.
  const worthIt = Math.min(want - granted, Math.max(1, bucket.capacity / 2));
  return [granted, Math.max(1, Math.ceil(Math.min(askedAgainMs / 2, (worthIt * (1 + hungry) * 1_000) / bucket.rate)))];
}

function clientOf(bucket: Bucket, node: NodeId, time: number): Client {
  let client = bucket.clients.get(node);
  if (client === undefined) {
    client = { granted: 0, grantedBefore: 0, stretch: 0, hungryUntil: 0 };
    if (bucket.clients.size >= maxClients) {
      const [longestUnseen] = bucket.clients.keys();
      bucket.clients.delete(longestUnseen as NodeId);
    }
  } else bucket.clients.delete(node);
  bucket.clients.set(node, client);
  roll(client, time);
  return client;
}

function roll(client: Client, time: number): void {
  const stretch = Math.floor(time / countedMs);
  if (stretch === client.stretch) return;
  client.grantedBefore = stretch === client.stretch + 1 ? client.granted : 0;
  client.granted = 0;
  client.stretch = stretch;
}

function fill(bucket: Bucket, time: number): void {
  const elapsed = Math.max(0, time - bucket.at);
  bucket.tokens = Math.min(bucket.capacity, bucket.tokens + (elapsed * bucket.rate) / 1_000);
  bucket.at = Math.max(bucket.at, time);
}

const lifeOf = (bucket: Bucket): number =>
  Math.max(forgottenAfterMs, Math.ceil((bucket.capacity * 1_000) / bucket.rate) + 1);
