import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { LocalEntries } from '../../../src/protocols/sharing/local-entries.ts';

function entriesOf(): { readonly entries: LocalEntries; readonly errors: unknown[] } {
  const errors: unknown[] = [];
  return {
    entries: new LocalEntries({ self: 'me' as NodeId, zone: 'eu', onError: (error) => errors.push(error) }),
    errors,
  };
}

describe('LocalEntries', () => {
  it('tells those who follow a key or a prefix, and nobody when nothing changed', () => {
    const { entries } = entriesOf();
    const told: string[] = [];
    entries.onKey('c/x', (key) => told.push(`key ${key}`));
    const stop = entries.onPrefix('c/', (key) => told.push(`prefix ${key}`));
    entries.set('c/x', { value: 1 });
    entries.set('c/x', { value: 1 });
    entries.set('d/x', 2);
    expect(told).toEqual(['key c/x', 'prefix c/x']);
    stop();
    entries.delete('c/x');
    entries.delete('c/x');
    expect(told).toEqual(['key c/x', 'prefix c/x', 'key c/x']);
    expect([...entries.keys()]).toEqual(['d/x']);
  });

  it('keeps a copy of what was written', () => {
    const { entries } = entriesOf();
    const value = { list: [1] };
    entries.set('k', value);
    value.list.push(2);
    expect(entries.own('k')).toEqual({ list: [1] });
    expect([...entries.of('k')]).toEqual([['me', { list: [1] }]]);
  });

  it('refuses what could not be replicated either', () => {
    const { entries } = entriesOf();
    expect(() => entries.set('k', 'x'.repeat(40_000))).toThrow(expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }));
    expect(() => entries.set('k', (() => 1) as never)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
    expect(entries.own('k')).toBeUndefined();
  });

  it('reports a listener that throws, and tells the others', () => {
    const { entries, errors } = entriesOf();
    const told: string[] = [];
    entries.onKey('k', () => {
      throw new Error('boom');
    });
    entries.onKey('k', (key) => told.push(key));
    entries.set('k', 1);
    expect(told).toEqual(['k']);
    expect(errors).toMatchObject([{ message: 'boom' }]);
  });

  it('knows itself only', () => {
    const { entries } = entriesOf();
    expect(entries.nodes()).toEqual(['me']);
    expect([entries.zoneOf('me' as NodeId), entries.zoneOf('you' as NodeId)]).toEqual(['eu', undefined]);
    expect([entries.standing('me' as NodeId), entries.standing('you' as NodeId)]).toEqual(['live', 'unknown']);
  });
});
