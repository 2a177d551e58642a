/** The user's own schema, and the bounds of one node; all else about metadata is in the conformance suite. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import { HybridClock } from '../../../src/hlc.ts';
import { createIdentity } from '../../../src/identity.ts';
import { LocalRegistry } from '../../../src/protocols/registry/local-registry.ts';
import { rethrow } from './harness.ts';

interface Team {
  readonly team: string;
  readonly level: number;
}
const team = v.object({ team: v.string('must be a string'), level: v.optional(v.number('must be a number'), 1) });
const slowTeam = v.pipeAsync(
  team,
  v.checkAsync(async (input) => input.team !== 'red', 'no red team'),
);
const handler = (): void => undefined;

function createRegistry(schema: StandardSchemaV1<unknown, Team> | undefined, maxAgents = 10): LocalRegistry<Team> {
  return new LocalRegistry<Team>({
    self: createIdentity().id,
    zone: 'test',
    hlc: new HybridClock(() => 1),
    rng: seededRng(1),
    schema,
    maxAgents,
    onListenerError: rethrow,
  });
}

describe('the metadata schema', () => {
  it('checks custom fields and may fill them in', async () => {
    const registry = createRegistry(team);
    const registration = await registry.register('a', handler, { capabilities: [], custom: { team: 'blue' } as Team });
    expect(registration.record.custom).toEqual({ team: 'blue', level: 1 });
    await registration.update({ custom: { team: 'red', level: 2 } });
    expect(registry.query({ custom: { team: 'red' } })).toHaveLength(1);
    await registration.update({ version: '2' });
    expect(registry.lookup('a')?.custom.level).toBe(2);
  });

  it('adds its complaints to the others, in one error', async () => {
    const registry = createRegistry(team);
    const wrong = { capabilities: 'x', health: 'undead', custom: { level: 'high' } } as never;
    await expect(registry.register('a', handler, wrong)).rejects.toMatchObject({
      code: 'INVALID_METADATA',
      data: {
        fields: { capabilities: expect.any(String), health: expect.any(String), 'custom.level': 'must be a number' },
      },
    });
    await expect(registry.register('a', handler, { capabilities: [] })).rejects.toMatchObject({
      data: { fields: { 'custom.team': expect.any(String) } },
    });
    const registration = await registry.register('a', handler, { capabilities: [], custom: { team: 'x', level: 1 } });
    await expect(registration.update({ custom: {} as Team })).rejects.toMatchObject({ code: 'INVALID_METADATA' });
    expect(registry.lookup('a')?.custom).toEqual({ team: 'x', level: 1 });
  });

  it('may be asynchronous, and still one of two racers wins', async () => {
    const registry = createRegistry(slowTeam);
    const racers = await Promise.allSettled(
      [1, 2, 3].map((level) => registry.register('a', handler, { capabilities: [], custom: { team: 'blue', level } })),
    );
    expect(racers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    await expect(
      registry.register('b', handler, { capabilities: [], custom: { team: 'red', level: 1 } }),
    ).rejects.toMatchObject({ code: 'INVALID_METADATA', data: { fields: { custom: 'no red team' } } });
  });

  it('does not write to an id that was unregistered, or given to another, while it was checking', async () => {
    const registry = createRegistry(slowTeam);
    const custom = { team: 'blue', level: 1 };
    const first = await registry.register('a', handler, { capabilities: [], custom });
    const update = first.update({ custom: { team: 'blue', level: 2 } });
    await first.unregister();
    await expect(update).rejects.toMatchObject({ code: 'NOT_REGISTERED' });
    const second = await registry.register('a', handler, { capabilities: [], custom });
    const stale = second.update({ custom: { team: 'blue', level: 3 } });
    await second.unregister();
    await registry.register('a', handler, { capabilities: [], custom });
    await expect(stale).rejects.toMatchObject({ code: 'NOT_REGISTERED' });
    expect(registry.lookup('a')?.custom.level).toBe(1);
  });

  it('that throws, or gives what cannot be stored, refuses the registration', async () => {
    const custom = { team: 'x', level: 1 };
    const schema = (validate: () => StandardSchemaV1.Result<Team>): StandardSchemaV1<unknown, Team> => ({
      '~standard': { version: 1, vendor: 'test', validate },
    });
    const throwing = createRegistry(
      schema(() => {
        throw new Error('broken schema');
      }),
    );
    await expect(throwing.register('a', handler, { capabilities: [], custom })).rejects.toMatchObject({
      code: 'INVALID_METADATA',
      data: { fields: { custom: expect.stringContaining('broken schema') } },
    });
    const strange = createRegistry(schema(() => ({ value: { team: () => 'x' } as never })));
    await expect(strange.register('a', handler, { capabilities: [], custom })).rejects.toMatchObject({
      code: 'INVALID_METADATA',
    });
  });
});

describe('LocalRegistry', () => {
  it('refuses more agents than one node may have, and takes them again when there is room', async () => {
    const registry = createRegistry(undefined, 2);
    const custom = { team: 'x', level: 1 };
    const first = await registry.register('a', handler, { capabilities: [], custom });
    await registry.register('b', handler, { capabilities: [], custom });
    await expect(registry.register('c', handler, { capabilities: [], custom })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      data: { id: 'c', limit: 2 },
    });
    expect(registry.handlers.get('c')).toBeUndefined();
    await first.unregister();
    await registry.register('c', handler, { capabilities: [], custom });
    expect(registry.query().map(({ id }) => id)).toEqual(['b', 'c']);
  });

  it('undoes the steps of a failed batch in reverse, each onto what was before it', async () => {
    const registry = createRegistry(undefined);
    const custom = { team: 'x', level: 1 };
    const a = await registry.register('a', handler, { capabilities: [], custom, version: '1' });
    const before = a.record;
    const { status } = await registry.batch(
      [
        { op: 'update', id: 'a', changes: { version: '2' } },
        { op: 'update', id: 'a', changes: { version: '3' } },
        { op: 'unregister', id: 'a' },
        { op: 'register', id: 'a', handler: () => 'other', metadata: { capabilities: ['other'], custom } },
        { op: 'unregister', id: 'nobody' },
      ],
      { onError: 'rollback' },
    );
    expect(status).toBe('rolledBack');
    expect(registry.lookup('a')).toEqual(before);
    expect(registry.handlers.get('a')).toBe(handler);
    expect([a.active, a.record]).toEqual([true, before]);
    await a.update({ version: '4' });
    expect(registry.lookup('a')?.version).toBe('4');
  });

  it('tells once when a local agent is gone, and not when a batch with its removal was undone', async () => {
    const registry = createRegistry(undefined);
    const custom = { team: 'x', level: 1 };
    const gone: string[] = [];
    registry.handlers.onGone((id) => gone.push(id));
    const a = await registry.register('a', handler, { capabilities: [], custom });
    await registry.register('b', handler, { capabilities: [], custom });
    const failing = { op: 'unregister', id: 'nobody' } as const;
    await registry.batch([{ op: 'unregister', id: 'a' }, failing], { onError: 'rollback' });
    expect(gone).toEqual([]);
    expect(registry.handlers.get('a')).toBe(handler);
    await a.unregister();
    await a.unregister();
    expect(gone).toEqual(['a']);
    await registry.stop();
    await registry.stop();
    expect(gone).toEqual(['a', 'b']);
    expect(registry.handlers.get('b')).toBeUndefined();
  });
});
