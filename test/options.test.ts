import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { isQuorateError, type QuorateError } from '../src/errors.ts';
import { createIdentity } from '../src/identity.ts';
import { type MeshOptions, resolveOptions } from '../src/options.ts';

function problems(options: unknown): Record<string, string> {
  try {
    resolveOptions(options as MeshOptions);
  } catch (error) {
    if (isQuorateError(error, 'INVALID_OPTIONS'))
      return (error as QuorateError).data['fields'] as Record<string, string>;
    throw error;
  }
  return {};
}

describe('options', () => {
  it('fills in every default', () => {
    const resolved = resolveOptions({});
    expect(resolved).toMatchObject({
      mode: 'local',
      name: 'default',
      zone: 'default',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      calls: { timeoutMs: 5_000, retryBudget: 0.1, maxConcurrent: 64, mailboxSize: 1_024 },
      membership: { liars: 1 },
    });
    expect(Object.values(resolved.calls)).not.toContain(undefined);
  });

  it('names every wrong field in one error', () => {
    const wrong = problems({
      mode: 'clustered',
      name: 'not a label',
      bootstrap: ['10.0.0.1:4700', '/ip4/10.0.0.1/tcp/4700', '/ip4/999.0.0.1/tcp/4700'],
      networkKey: 'abc',
      allow: ['somebody'],
      calls: { timeoutMs: Number.POSITIVE_INFINITY, retries: 3 },
      metadata: {},
      logger: { warn: 1 },
      bootsrap: [],
    });
    expect(Object.keys(wrong).sort()).toEqual(
      [
        'allow.0',
        'bootsrap',
        'bootstrap.0',
        'bootstrap.2',
        'calls.retries',
        'calls.timeoutMs',
        'logger',
        'metadata',
        'mode',
        'name',
        'networkKey',
      ].sort(),
    );
    expect(wrong['bootsrap']).toBe('is not an option of createMesh');
  });

  it('refuses an empty allow-list, which would refuse everybody', () => {
    expect(problems({ mode: 'cluster', allow: [] })).toHaveProperty('allow');
    expect(problems({ mode: 'cluster', allow: [createIdentity().id] })).toEqual({});
  });

  it('a logger that throws stops nothing, and is told of', () => {
    const written: string[] = [];
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    const broken = (): never => {
      throw new Error('disk full');
    };
    const { logger } = resolveOptions({ logger: { debug: broken, info: broken, warn: broken, error: broken } });
    logger.warn('a peer is gone', { error: new Error('why') });
    resolveOptions({}).logger.warn('a write failed', { error: new Error('why') });
    write.mockRestore();
    expect(written[0]).toMatch(/disk full.*a peer is gone/);
    expect(written[1]).toContain('"error":"why"');
  });

  it('takes any Standard Schema and any logger with the four methods', () => {
    expect(problems({ metadata: v.object({ model: v.string() }), logger: console })).toEqual({});
  });

  it('says that options must be an object', () => {
    expect(problems('cluster')).toHaveProperty('(options)');
    expect(problems(null)).toHaveProperty('(options)');
  });
});
