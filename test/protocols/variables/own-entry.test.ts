import { expect, it } from 'vitest';
import { QuorateError } from '../../../src/errors.ts';
import { OwnEntry } from '../../../src/protocols/variables/own-entry.ts';
import { SharedWorld } from '../../simulation/sharing/shared-world.ts';

function entryOf(): { world: SharedWorld; node: ReturnType<SharedWorld['join']>; entry: OwnEntry; errors: unknown[] } {
  const world = new SharedWorld({ seed: 1 });
  const node = world.join();
  const errors: unknown[] = [];
  const entry = new OwnEntry({ key: 'k', entries: node, clock: node.clock, onError: (error) => errors.push(error) });
  return { world, node, entry, errors };
}

it('is written at once two hundred times, then ten times a second, and the newest is what is written', async () => {
  const { world, node, entry } = entryOf();
  for (let value = 0; value < 1_000; value++) entry.write(value);
  expect([node.sent, node.own('k')]).toEqual([200, 199]);
  await world.time.run(101);
  expect([node.sent, node.own('k')]).toEqual([201, 999]);
  await world.time.run(60_000);
  expect(node.sent).toBe(201);
  entry.write('again');
  expect(node.own('k')).toBe('again');
});

it('that was cleared or stopped is not written by what waited', async () => {
  for (const end of ['clear', 'stop'] as const) {
    const { world, node, entry } = entryOf();
    for (let value = 0; value < 300; value++) entry.write(value);
    entry[end]();
    await world.time.run(1_000);
    expect(node.own('k')).toBe(end === 'clear' ? undefined : 199);
  }
});

it('failures are thrown at once, and reported later', async () => {
  const { world, node, entry, errors } = entryOf();
  const full = new QuorateError('LIMIT_EXCEEDED', 'full');
  for (let value = 0; value < 200; value++) entry.write(value);
  node.set = () => {
    throw full;
  };
  entry.write('late');
  expect(errors).toEqual([]);
  await world.time.run(1_000);
  expect(errors).toEqual([full]);
  expect(() => entry.write('now')).toThrowError(full);
});
