/** The terms of a barrier in the one form in which they are compared: equal terms have equal bytes. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import { maxNameLength } from '../machine/limits.ts';
import type { BarrierOptions } from './barrier.ts';

/** Participants of one barrier. */
export const maxParticipants = 1_024;
/** Names of all participants together, UTF-8 bytes; what lists them must fit an answer. */
const maxNamesBytes = 24 * 1024;
const maxZones = 128;
/** From the shortest that a few lost messages do not end, to a day. */
const minLeaseMs = 500;
const maxSpanMs = 7 * 24 * 3_600_000;
const defaultLeaseMs = 10_000;

/** In bytes as well: a group remembers up to two names for each place at a barrier. */
export const nameSchema = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength), v.maxBytes(maxNameLength));
const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(maxParticipants));

const ascending = <T>(items: readonly T[], name: (item: T) => string): boolean =>
  items.every((item, index) => index === 0 || name(items[index - 1] as T) < name(item));
const bytesOf = (names: readonly string[]): number => names.reduce((sum, name) => sum + Buffer.byteLength(name), 0);

const agentsSchema = v.pipe(
  v.array(nameSchema),
  v.minLength(1),
  v.maxLength(maxParticipants),
  v.check((agents) => ascending(agents, (agent) => agent), 'participants must be sorted, each once'),
  v.check(
    (agents) => bytesOf(agents) <= maxNamesBytes,
    `the names of all participants have more than ${maxNamesBytes} bytes`,
  ),
);
const zonesSchema = v.pipe(
  v.array(v.strictTuple([nameSchema, countSchema])),
  v.minLength(1),
  v.maxLength(maxZones),
  v.check((zones) => ascending(zones, ([zone]) => zone), 'zones must be sorted, each once'),
  v.check((zones) => bytesOf(zones.map(([zone]) => zone)) <= maxNamesBytes, 'the names of the zones are too long'),
  v.check((zones) => zones.reduce((sum, [, count]) => sum + count, 0) <= maxParticipants, 'too many participants'),
);

const whoSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('list'), agents: agentsSchema }),
  v.strictObject({ kind: v.literal('count'), count: countSchema }),
  v.strictObject({ kind: v.literal('zones'), zones: zonesSchema }),
]);
export type WhoIsAwaited = v.InferOutput<typeof whoSchema>;

export const termsSchema = v.pipe(
  v.strictObject({
    who: whoSchema,
    strategy: v.picklist(['flat', 'hierarchical']),
    onLost: v.picklist(['wait', 'break', 'proceed']),
    deadlineMs: v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(maxSpanMs))),
    minimum: countSchema,
    leaseMs: v.pipe(v.number(), v.safeInteger(), v.minValue(minLeaseMs), v.maxValue(maxSpanMs)),
  }),
  v.check((terms) => terms.minimum <= expectedOf(terms.who), 'minimum is more than all participants'),
);

export type BarrierTerms = v.InferOutput<typeof termsSchema>;

/** How many a generation waits for. */
export function expectedOf(who: WhoIsAwaited): number {
  if (who.kind === 'list') return who.agents.length;
  if (who.kind === 'count') return who.count;
  return who.zones.reduce((sum, [, count]) => sum + count, 0);
}

/** How many are waited for in a zone; undefined where the terms do not say. */
export function shareOf(who: WhoIsAwaited, zone: string): number | undefined {
  return who.kind === 'zones' ? who.zones.find(([name]) => name === zone)?.[1] : undefined;
}

/** Throws `INVALID_ARGUMENT`. */
export function termsFromOptions(options: BarrierOptions): BarrierTerms {
  const { participants, perZone } = options;
  if ((participants === undefined) === (perZone === undefined)) {
    throw invalid(options.id, 'give either participants (names, or how many) or perZone');
  }
  const byName = ([a]: readonly [string, number], [b]: readonly [string, number]): number => (a < b ? -1 : 1);
  const terms = {
    who:
      perZone !== undefined
        ? { kind: 'zones', zones: Object.entries(perZone).sort(byName) }
        : typeof participants === 'number'
          ? { kind: 'count', count: participants }
          : { kind: 'list', agents: [...(participants ?? [])].sort() },
    strategy: options.strategy ?? 'flat',
    onLost: options.onLost ?? 'wait',
    deadlineMs: options.deadlineMs ?? null,
    minimum: options.minimum ?? 1,
    leaseMs: options.leaseMs ?? defaultLeaseMs,
  };
  if (options.minimum !== undefined && terms.onLost !== 'proceed') {
    throw invalid(options.id, "minimum means something only with onLost: 'proceed'");
  }
  const checked = v.safeParse(termsSchema, terms, { abortEarly: true });
  if (checked.success) return checked.output;
  const issue = checked.issues[0];
  throw invalid(options.id, `${v.getDotPath(issue) ?? 'terms'}: ${issue.message}`);
}

export function checkId(id: unknown): asserts id is string {
  if (!v.is(nameSchema, id)) throw invalid(String(id).slice(0, 64), `an id has 1 to ${maxNameLength} bytes`);
}

const invalid = (id: string, reason: string): QuorateError =>
  new QuorateError('INVALID_ARGUMENT', `The barrier '${id}' cannot be made: ${reason}.`, { id, reason });
