/** What can be asked of a node through its control socket. Arguments are checked here, results are plain values. */
import * as v from 'valibot';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import { decisionOperations } from './decision-operations.ts';
import { diagnose } from './diagnosis.ts';
import { grantOperations } from './grant-operations.ts';
import {
  checked,
  type Fields,
  findId,
  given,
  nothing,
  type Operation,
  type OperationContext,
  text,
} from './operation.ts';
import { validatorOperations } from './validator-operations.ts';

type Registry = Mesh['registry'];
type Criteria = NonNullable<Parameters<Registry['query']>[0]>;
type QueryOptions = NonNullable<Parameters<Registry['query']>[1]>;
type CallOptions = NonNullable<Parameters<Mesh['call']>[2]>;

const maxCallMs = 24 * 3_600_000;
const criteria = v.custom<Criteria>((input) => typeof input === 'object' && input !== null, 'must be criteria');
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

function callOptions(args: v.InferOutput<typeof callArgs>, signal: AbortSignal): CallOptions {
  const { method, timeoutMs, idempotencyKey, strategy } = args;
  const resolve = strategy === undefined ? undefined : { strategy };
  return { ...given({ method, timeoutMs, idempotencyKey, resolve }), signal };
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
      const ids = mesh.membership.members().map((member) => member.id);
      const id = findId(ids, checked(memberArgs, args).id);
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
  ...validatorOperations,
  ...grantOperations,
  ...decisionOperations,
  doctor: {
    deadlineMs: 60_000,
    async run(mesh, args, { facts, signal }) {
      checked(nothing, args);
      return (await diagnose(mesh, facts, signal)) as unknown as Value;
    },
  },
};
