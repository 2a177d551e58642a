// A replicated key-value store: your own state machine, run by every validator in the same order.
// Alone here; under validators nothing changes but `mode`, and what it survives.
import assert from 'node:assert/strict';
import { createMesh, defineStateMachine } from 'quorate';

type Command =
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'append'; readonly key: string; readonly value: string; readonly ifLength: number }
  | { readonly op: 'delete'; readonly key: string };

const store = defineStateMachine({
  name: 'kv-store',
  version: 1,
  initial: () => new Map<string, string>(),
  apply: (state, command: Command) => {
    const before = state.get(command.key);
    // What throws refuses the command, so it comes before any change.
    if (command.op === 'append' && (before?.length ?? 0) !== command.ifLength)
      throw new Error('somebody else was first');
    if (command.op === 'put') state.set(command.key, command.value);
    else if (command.op === 'append') state.set(command.key, (before ?? '') + command.value);
    else state.delete(command.key);
    return { state, result: before };
  },
  query: (state, key: string) => state.get(key),
  // With these two the state may be anything, and be changed in place; without, it is plain data.
  snapshot: (state) => [...state],
  restore: (entries) => new Map(entries as [string, string][]),
});

await using mesh = await createMesh({ coordination: { machines: [store] } });
const kv = mesh.coordination.stateMachine(store);

await kv.submit({ op: 'put', key: 'greeting', value: 'hello' });
await Promise.allSettled(
  [', mesh', ', world'].map((value) => kv.submit({ op: 'append', key: 'greeting', value, ifLength: 5 })),
);
assert.equal(await kv.query('greeting'), 'hello, mesh');
await assert.rejects(kv.submit({ op: 'append', key: 'greeting', value: '!', ifLength: 5 }), { code: 'HANDLER_FAILED' });
assert.equal(await kv.submit({ op: 'delete', key: 'greeting' }), 'hello, mesh');
console.log('one writer won, the other was told, and the store agrees');
