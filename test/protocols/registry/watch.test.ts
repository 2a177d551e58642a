import { describe, expect, it } from 'vitest';
import { compileCriteria } from '../../../src/crdt/registry-criteria.ts';
import { type AgentRecord, completeFields, makeRecord } from '../../../src/crdt/registry-record.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { RegistryEvent } from '../../../src/protocols/registry/registry.ts';
import { WatchCursor } from '../../../src/protocols/registry/watch.ts';

const agent = (id: string, version = '1', node = 'n'): AgentRecord =>
  makeRecord(id, node as NodeId, completeFields({ version }, 'z'), 1);

async function drain(cursor: WatchCursor): Promise<RegistryEvent[]> {
  const events: RegistryEvent[] = [];
  while (cursor.waiting > 0) {
    const { done, value } = await cursor.next();
    expect(done).toBe(false);
    events.push(value);
  }
  return events;
}

describe('WatchCursor', () => {
  it('is bounded by agents however many changes come, and says nothing of what came back as it was', async () => {
    const [same, moves, goes] = [agent('same'), agent('moves'), agent('goes')];
    const cursor = new WatchCursor([same, moves, goes], [], () => undefined);
    await drain(cursor);
    const moved = agent('moves', '1', 'elsewhere');
    for (let round = 0; round < 4_000; round++) {
      cursor.onChanges([
        { type: 'down', record: same, reason: 'node-down' },
        { type: 'up', record: agent('brief', String(round)) },
        { type: 'up', record: same },
        { type: 'down', record: agent('brief', String(round)), reason: 'unregistered' },
      ]);
      expect(cursor.waiting).toBeLessThanOrEqual(10_003);
    }
    expect(cursor.waiting).toBe(2);
    cursor.onChanges([
      { type: 'down', record: moves, reason: 'conflict' },
      { type: 'up', record: moved },
      { type: 'down', record: goes, reason: 'node-down' },
    ]);
    const next = [await cursor.next(), await cursor.next()].map(({ value }) => value as RegistryEvent);
    expect(next).toEqual([
      { type: 'update', record: moved, previous: moves },
      { type: 'down', record: goes, reason: 'node-down' },
    ]);
    const waiting = cursor.next();
    const update = agent('same', '2');
    cursor.onChanges([{ type: 'update', record: update, previous: same }]);
    expect((await waiting).value).toEqual({ type: 'update', record: update, previous: same });
  });

  it('keeps every step of a reader who is fast enough, also through its beginning', async () => {
    const records = Array.from({ length: 5_000 }, (_, at) => agent(`agent-${at}`));
    const cursor = new WatchCursor(records, [], () => undefined);
    const changes = records.flatMap((record) => {
      const next = agent(record.id, '2');
      return [
        { type: 'update', record: next, previous: record } as const,
        { type: 'down', record: next, reason: 'unregistered' } as const,
      ];
    });
    cursor.onChanges(changes);
    expect(await drain(cursor)).toEqual([...records.map((record) => ({ type: 'up', record })), ...changes]);
  });

  it('answers readers in turn, and all of them when it ends', async () => {
    let ends = 0;
    const cursor = new WatchCursor([], compileCriteria({ version: '1' }), () => {
      ends += 1;
    });
    const readers = [cursor.next(), cursor.next(), cursor.next()];
    cursor.onChanges([
      { type: 'up', record: agent('other', '2') },
      { type: 'up', record: agent('a') },
      { type: 'up', record: agent('b') },
    ]);
    cursor.onChanges([{ type: 'up', record: agent('c') }]);
    cursor.onChanges([{ type: 'up', record: agent('d') }]);
    expect((await Promise.all(readers)).map(({ value }) => value.record.id)).toEqual(['a', 'b', 'c']);
    expect((await cursor.next()).value.record.id).toBe('d');
    const late = cursor.next();
    await cursor.return();
    cursor.end();
    expect([(await late).done, (await cursor.next()).done, ends]).toEqual([true, true, 1]);
  });
});
