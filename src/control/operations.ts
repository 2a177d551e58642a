/** What can be asked of a node through its control socket. Arguments are checked here, results are plain values. */
import * as v from 'valibot';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import { decisionOperations } from './decision-operations.ts';
import { diagnose } from './diagnosis.ts';
import { grantOperations } from './grant-operations.ts';
import { infrastructureOperations } from './infrastructure-operations.ts';
import { checked, criteria, findId, given, nothing, type Operation, text } from './operation.ts';
import { validatorOperations } from './validator-operations.ts';
import { variableOperations } from './variable-operations.ts';
import { watchOperation } from './watch-operation.ts';

type Registry = Mesh['registry'];
type QueryOptions = NonNullable<Parameters<Registry['query']>[1]>;
type CallOptions = NonNullable<Parameters<Mesh['call']>[2]>;

const maxCallMs = 24 * 3_600_000;
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
const memberArgs = v.strictObject({ id: text });

function callOptions(args: v.InferOutput<typeof callArgs>, signal: AbortSignal): CallOptions {
  const { method, timeoutMs, idempotencyKey, strategy } = args;
  const resolve = strategy === undefined ? undefined : { strategy };
  return { ...given({ method, timeoutMs, idempotencyKey, resolve }), signal };
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
  watch: watchOperation,
  ...validatorOperations,
  ...grantOperations,
  ...decisionOperations,
  ...variableOperations,
  ...infrastructureOperations,
  doctor: {
    deadlineMs: 60_000,
    async run(mesh, args, { facts, signal }) {
      checked(nothing, args);
      return (await diagnose(mesh, facts, signal)) as unknown as Value;
    },
  },
};
