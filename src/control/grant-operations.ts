/**
 * Locks and barriers for shell scripts. What is held or waited for belongs to the request that asked for it: when its client cancels, or is
 * killed, the socket closes and the node gives it back.
 */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import { checked, given, type Operation, type OperationContext, text, timeoutSchema } from './operation.ts';

type Coordination = Mesh['coordination'];
type Lock = Awaited<ReturnType<Coordination['lock']>>;
type BarrierOptions = Parameters<Coordination['barrier']>[0];

const lockArgs = v.strictObject({
  name: text,
  leaseMs: v.optional(v.number()),
  timeoutMs: timeoutSchema,
  wait: v.optional(v.boolean()),
});
const releaseArgs = v.strictObject({ name: text, token: v.number() });
const inspectArgs = v.strictObject({ name: text, timeoutMs: timeoutSchema });
const barrierArgs = v.strictObject({
  terms: v.looseObject({ id: text }),
  as: v.optional(text),
  timeoutMs: timeoutSchema,
});

/** What clients of the control socket hold, by name and token. */
const heldBy = new WeakMap<Mesh, Map<string, Lock>>();

function heldHere(mesh: Mesh): Map<string, Lock> {
  const held = heldBy.get(mesh) ?? new Map<string, Lock>();
  heldBy.set(mesh, held);
  return held;
}

const keyOf = ({ name, token }: Pick<Lock, 'name' | 'token'>): string => JSON.stringify([name, token]);

/** Holds for as long as the request is open: one item when it is held, the end when it was released, an error when it was lost. */
async function holdLock(mesh: Mesh, args: Parameters<Operation['run']>[1], context: OperationContext): Promise<Value> {
  const { name, ...options } = checked(lockArgs, args);
  const { signal, item } = context;
  const lock = await mesh.coordination.lock(name, { ...given(options), signal });
  const held = heldHere(mesh);
  held.set(keyOf(lock), lock);
  try {
    await item({ token: lock.token });
    await aborted(AbortSignal.any([signal, lock.signal]));
    // Lost for any reason but that it was given back.
    if (!signal.aborted && held.has(keyOf(lock))) throw lock.signal.reason;
    return undefined;
  } finally {
    held.delete(keyOf(lock));
    await lock.release();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export const grantOperations: Readonly<Record<string, Operation>> = {
  lock: { deadlineMs: undefined, run: holdLock },
  'lock.release': {
    deadlineMs: undefined,
    async run(mesh, args) {
      const wanted = checked(releaseArgs, args);
      const held = heldHere(mesh);
      const lock = held.get(keyOf(wanted));
      if (lock === undefined) {
        throw new QuorateError(
          'NOT_FOUND',
          `No client of this node holds '${wanted.name}' with token ${wanted.token}.`,
        );
      }
      held.delete(keyOf(wanted));
      await lock.release();
      return undefined;
    },
  },
  'lock.inspect': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { name, timeoutMs } = checked(inspectArgs, args);
      return (await mesh.coordination.inspect(name, { ...given({ timeoutMs }), signal })) as unknown as Value;
    },
  },
  barrier: {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { terms, as, timeoutMs } = checked(barrierArgs, args);
      // The terms are checked by `barrier` itself, which knows every rule.
      const barrier = await mesh.coordination.barrier(terms as unknown as BarrierOptions, { signal });
      return (await barrier.arrive({ ...given({ as, timeoutMs }), signal })) as unknown as Value;
    },
  },
  'barrier.status': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { terms, timeoutMs } = checked(barrierArgs, args);
      const barrier = await mesh.coordination.barrier(terms as unknown as BarrierOptions, { signal });
      return (await barrier.status({ ...given({ timeoutMs }), signal })) as unknown as Value;
    },
  },
};
