import { describe, expect, it } from 'vitest';
import { realClock } from '../../../src/clock.ts';
import type { FeedStore } from '../../../src/crdt/feed-store.ts';
import { FeedEntries } from '../../../src/protocols/sharing/feed-entries.ts';
import { exchange, storeOf } from '../../crdt/feed-harness.ts';
import { rethrow, ScriptedMembership } from '../registry/harness.ts';

function sides(): {
  readonly here: FeedStore;
  readonly there: FeedStore;
  readonly membership: ScriptedMembership;
  readonly entries: FeedEntries;
  readonly told: string[];
} {
  const [here, there] = [storeOf('here'), storeOf('there')];
  const membership = new ScriptedMembership(here.self);
  membership.become(there.self, 'alive');
  const entries = new FeedEntries({ store: 'variables', feeds: here, membership, clock: realClock, onError: rethrow });
  const told: string[] = [];
  entries.onPrefix('', (key) => told.push(key));
  return { here, there, membership, entries, told };
}

function meet({ here, there }: { readonly here: FeedStore; readonly there: FeedStore }): void {
  here.flush();
  there.flush();
  exchange(here, there);
}

describe('FeedEntries', () => {
  it('shows the entries of its own store, those of others and its own', () => {
    const both = sides();
    const { entries, there, here, told } = both;
    entries.set('x', 1);
    there.set('variables', 'x', 2);
    there.set('counters', 'x', 3);
    meet(both);
    expect(new Map(entries.of('x'))).toEqual(
      new Map([
        [here.self, 1],
        [there.self, 2],
      ]),
    );
    expect(entries.own('x')).toBe(1);
    expect(told).toEqual(['x', 'x']);
    there.delete('variables', 'x');
    meet(both);
    expect([...entries.of('x').keys()]).toEqual([here.self]);
    expect(told).toEqual(['x', 'x', 'x']);
  });

  it('reads what was there before it was made', () => {
    const both = sides();
    both.there.set('variables', 'x', 2);
    meet(both);
    const { here, membership, there } = both;
    const later = new FeedEntries({ store: 'variables', feeds: here, membership, clock: realClock, onError: rethrow });
    expect(later.of('x').get(there.self)).toBe(2);
  });

  it('leaves out nodes that do not answer, and takes them in again as they are then', () => {
    const both = sides();
    const { entries, there, membership, told } = both;
    there.set('variables', 'x', 1);
    there.set('variables', 'y', 1);
    meet(both);
    told.length = 0;
    membership.become(there.self, 'suspect');
    expect(told).toEqual([]);
    membership.become(there.self, 'unreachable');
    expect(told.sort()).toEqual(['x', 'y']);
    expect([...entries.keys()]).toEqual([]);
    there.set('variables', 'x', 2);
    there.delete('variables', 'y');
    meet(both);
    expect(entries.of('x').size).toBe(0);
    membership.become(there.self, 'alive');
    expect(entries.of('x').get(there.self)).toBe(2);
    expect(entries.of('y').size).toBe(0);
  });

  it('counts a node that is not known as a member from when it is', () => {
    const both = sides();
    const stranger = storeOf('stranger');
    stranger.set('variables', 'x', 5);
    meet({ here: both.here, there: stranger });
    expect(both.entries.of('x').size).toBe(0);
    both.membership.become(stranger.self, 'alive');
    expect(both.entries.of('x').get(stranger.self)).toBe(5);
  });

  it('forgets a feed that is dropped', () => {
    const both = sides();
    both.there.set('variables', 'x', 1);
    meet(both);
    both.here.forget(both.there.self);
    expect(both.entries.of('x').size).toBe(0);
    both.membership.become(both.there.self, 'alive');
    expect(both.entries.of('x').size).toBe(0);
  });

  it('tells a process that has ended from one that may be cut off', () => {
    const { entries, membership, there, here } = sides();
    const accusation = (evidence: 'connection-reset' | 'missed-probes') =>
      ({ accuser: here.self, accused: there.self, incarnation: 0, evidence, at: 0, detail: '' }) as const;
    expect(entries.standing(there.self)).toBe('live');
    membership.become(there.self, 'unreachable');
    expect(entries.standing(there.self)).toBe('silent');
    membership.standing = [accusation('connection-reset'), accusation('missed-probes')];
    expect(entries.standing(there.self)).toBe('silent');
    membership.standing = [accusation('connection-reset')];
    expect(entries.standing(there.self)).toBe('gone');
    membership.become(there.self, 'left');
    expect(entries.standing(there.self)).toBe('gone');
    expect(entries.standing(storeOf('nobody').self)).toBe('unknown');
  });

  it('names the live nodes, and tells when they change, until it is stopped', () => {
    const { entries, membership, there, here, told } = sides();
    let changes = 0;
    entries.onNodes(() => {
      changes += 1;
    });
    membership.become(there.self, 'left');
    expect(entries.nodes()).toEqual([here.self]);
    expect(changes).toBe(1);
    entries.stop();
    membership.become(there.self, 'alive');
    entries.set('x', 1);
    expect([changes, told]).toEqual([1, []]);
  });
});
