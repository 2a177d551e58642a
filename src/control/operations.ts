/** What can be asked of a node through its control socket. Arguments are checked here, results are plain values. */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';
import { type DiagnosisFacts, diagnose } from './diagnosis.ts';

type Fields = { readonly [key: string]: Value };
type Registry = Mesh['registry'];
type Criteria = NonNullable<Parameters<Registry['query']>[0]>;
type QueryOptions = NonNullable<Parameters<Registry['query']>[1]>;
type CallOptions = NonNullable<Parameters<Mesh['call']>[2]>;

export interface OperationContext {
  readonly facts: DiagnosisFacts;
  /** Aborts when the client cancels or goes away, and at the deadline. */
  readonly signal: AbortSignal;
  /** Sends one item of a stream; resolves when the client has room for more. */
  item(value: unknown): Promise<void>;
}

export interface Operation {
  /** Milliseconds; undefined for streams, which end with their client. */
  readonly deadlineMs: number | undefined;
  run(mesh: Mesh, args: Fields, context: OperationContext): Promise<Value>;
}

const maxCallMs = 24 * 3_600_000;
const criteria = v.custom<Criteria>((input) => typeof input === 'object' && input !== null, 'must be criteria');
const text = v.pipe(v.string(), v.maxLength(4_096));
const queryArgs = v.strictObject({
  criteria: v.optional(criteria),
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  orderBy: v.optional(v.union([text, v.pipe(v.array(text), v.length(2))])),
  scope: v.optional(v.picklist(['cluster', 'zone', 'node'])),
});
const callArgs = v.strictObject({
  target: v.union([text, criteria]),
  message: v.optional(v.any()),
  method: v.optional(text),
  timeoutMs: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(maxCallMs))),
  idempotencyKey: v.optional(text),
  strategy: v.optional(v.picklist(['nearestHealthy', 'leastLoaded', 'roundRobin', 'random', 'sameZone'])),
});
const watchArgs = v.strictObject({
  criteria: v.optional(criteria),
  agents: v.optional(v.boolean(), true),
  members: v.optional(v.boolean(), true),
});
const memberArgs = v.strictObject({ id: text });
const nothing = v.strictObject({});

function checked<T>(schema: v.GenericSchema<unknown, T>, args: Fields): T {
  const parsed = v.safeParse(schema, args);
  if (parsed.success) return parsed.output;
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'arguments'}: ${issue.message}`);
  throw new QuorateError('INVALID_ARGUMENT', `The request cannot be used: ${problems.join('; ')}`, { problems });
}

/** Members of the object that are undefined, left out: optional properties are absent or have a value. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

function callOptions(args: v.InferOutput<typeof callArgs>, signal: AbortSignal): CallOptions {
  const { method, timeoutMs, idempotencyKey, strategy } = args;
  const resolve = strategy === undefined ? undefined : { strategy };
  return { ...given({ method, timeoutMs, idempotencyKey, resolve }), signal };
}

/** The member whose id is `wanted`, or ends or begins with it, as people shorten ids. */
function findMember(mesh: Mesh, wanted: string): NodeId {
  const ids = mesh.membership.members().map((member) => member.id);
  const matches = ids.filter((id) => id === wanted || id.endsWith(wanted) || id.startsWith(wanted));
  const exact = matches.find((id) => id === wanted) ?? (matches.length === 1 ? matches[0] : undefined);
  if (exact !== undefined) return exact;
  throw matches.length === 0
    ? new QuorateError('NO_MATCH', `No member's id is, begins or ends with '${wanted}'.`, { wanted })
    : new QuorateError('INVALID_ARGUMENT', `'${wanted}' could be any of ${matches.join(', ')}; give more of it.`, {
        wanted,
        matches,
      });
}

/** Members and agents as they come and go, in one stream; both kinds wait for a slow reader. */
async function watch(mesh: Mesh, args: Fields, { signal, item }: OperationContext): Promise<Value> {
  const wanted = checked(watchArgs, args);
  const work: Promise<void>[] = [];
  if (wanted.members) {
    for (const member of mesh.membership.members()) await item({ type: 'member', member, previous: undefined });
    work.push(watchMembers(mesh, signal, item));
  }
  if (wanted.agents) {
    work.push(
      (async () => {
        for await (const event of mesh.registry.watch(wanted.criteria, { signal })) await item(event);
      })(),
    );
  }
  await Promise.all(work);
  return undefined;
}

const maxMemberBacklog = 10_000;

async function watchMembers(mesh: Mesh, signal: AbortSignal, item: OperationContext['item']): Promise<void> {
  const backlog: unknown[] = [];
  let wake = (): void => undefined;
  const off = mesh.membership.on('change', ({ member, previous }) => {
    // Past the bound only the newest changes are kept, as for agents.
    if (backlog.length >= maxMemberBacklog) backlog.shift();
    backlog.push({ type: 'member', member, previous });
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    while (!signal.aborted) {
      while (backlog.length > 0) await item(backlog.shift());
      if (signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    off();
    signal.removeEventListener('abort', onAbort);
  }
}

export const operations: Readonly<Record<string, Operation>> = {
  status: {
    deadlineMs: 5_000,
    async run(mesh, args) {
      checked(nothing, args);
      return mesh.status() as unknown as Value;
    },
  },
  members: {
    deadlineMs: 5_000,
    async run(mesh, args) {
      checked(nothing, args);
      return { self: mesh.id, members: mesh.membership.members() as unknown as Value };
    },
  },
  why: {
    deadlineMs: 5_000,
    async run(mesh, args) {
      const id = findMember(mesh, checked(memberArgs, args).id);
      const member = mesh.membership.get(id) as unknown as Value;
      return { member, accusations: mesh.membership.accusations(id) as unknown as Value };
    },
  },
  query: {
    deadlineMs: 30_000,
    async run(mesh, args) {
      const { criteria: wanted, ...options } = checked(queryArgs, args);
      return mesh.registry.query(wanted, given(options) as QueryOptions) as unknown as Value;
    },
  },
  call: {
    deadlineMs: maxCallMs,
    async run(mesh, args, { signal }) {
      const wanted = checked(callArgs, args);
      return mesh.call<Value>(wanted.target, wanted.message, callOptions(wanted, signal));
    },
  },
  stream: {
    deadlineMs: undefined,
    async run(mesh, args, { signal, item }) {
      const { idempotencyKey: _, ...wanted } = checked(callArgs, args);
      for await (const value of mesh.stream(wanted.target, wanted.message, callOptions(wanted, signal))) {
        await item(value);
      }
      return undefined;
    },
  },
  watch: { deadlineMs: undefined, run: watch },
  doctor: {
    deadlineMs: 60_000,
    async run(mesh, args, { facts, signal }) {
      checked(nothing, args);
      return (await diagnose(mesh, facts, signal)) as unknown as Value;
    },
  },
};
