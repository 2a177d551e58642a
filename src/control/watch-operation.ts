/** What happens in the mesh as it happens, in one stream: members, agents, and the events an operator acts on. */
import * as v from 'valibot';
import type { Mesh, MeshEvents } from '../mesh.ts';
import type { Value } from '../value.ts';
import { checked, criteria, type Fields, type Operation, type OperationContext } from './operation.ts';

const watchArgs = v.strictObject({
  criteria: v.optional(criteria),
  agents: v.optional(v.boolean(), true),
  members: v.optional(v.boolean(), true),
  events: v.optional(v.boolean(), true),
});

/** Past the bound only the newest are kept, as for agents. */
const maxBacklog = 10_000;

/** Each kind waits for a slow reader on its own. */
async function watch(mesh: Mesh, args: Fields, { signal, item }: OperationContext): Promise<Value> {
  const wanted = checked(watchArgs, args);
  const work: Promise<void>[] = [];
  if (wanted.events) work.push(watchEvents(mesh, signal, item));
  if (wanted.members) {
    for (const member of mesh.membership.members()) await item({ type: 'member', member, previous: undefined });
    work.push(
      forward(signal, item, (push) =>
        mesh.membership.on('change', ({ member, previous }) => push({ type: 'member', member, previous })),
      ),
    );
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

function watchEvents(mesh: Mesh, signal: AbortSignal, item: OperationContext['item']): Promise<void> {
  return forward(signal, item, (push) => {
    const conflict = ({ variable, error }: MeshEvents['definitionConflict']): void => {
      const { code, message } = error;
      push({ type: 'definitionConflict', variable, code, message });
    };
    const offs = [
      mesh.on('breaker', (change) => push({ type: 'breaker', ...change })),
      mesh.on('alert', (alert) => push({ type: 'alert', ...alert })),
      mesh.on('definitionConflict', conflict),
    ];
    return () => {
      for (const off of offs) off();
    };
  });
}

/** Sends what is pushed, in order, until the signal aborts. */
async function forward(
  signal: AbortSignal,
  item: OperationContext['item'],
  listen: (push: (event: unknown) => void) => () => void,
): Promise<void> {
  const backlog: unknown[] = [];
  let wake = (): void => undefined;
  const off = listen((event) => {
    if (backlog.length >= maxBacklog) backlog.shift();
    backlog.push(event);
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

export const watchOperation: Operation = { deadlineMs: undefined, run: watch };
