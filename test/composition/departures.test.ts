import { expect, it } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { Departures } from '../../src/composition/departures.ts';
import { Emitter } from '../../src/emitter.ts';
import { createIdentity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import type { Member, MemberState, Membership, MembershipEvents } from '../../src/protocols/membership/membership.ts';

/** A clock whose hand the test turns. */
class HandClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; fire: () => void }>();
  now = (): number => this.#now;
  wallNow = (): number => this.#now;
  after(delayMs: number, fire: () => void) {
    const timer = { at: this.#now + delayMs, fire };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  turn(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue;
      timer.fire();
    }
  }
  get pending(): number {
    return this.#timers.size;
  }
}

function set() {
  const events = new Emitter<MembershipEvents>((error) => {
    throw error;
  });
  const clock = new HandClock();
  const forgotten: NodeId[] = [];
  const refreshes: number[] = [];
  const departures = new Departures({ on: (type, listener) => events.on(type, listener) } as Membership, clock, {
    forget: (author) => void forgotten.push(author),
    refresh: () => void refreshes.push(clock.now()),
  });
  const become = (id: NodeId, state: MemberState) =>
    events.emit('change', { member: { id, state } as Member, previous: 'alive' });
  return { clock, forgotten, refreshes, departures, become, id: createIdentity().id };
}

const minute = 60_000;

it('forgets who left after ten minutes, and who was removed after an hour, saying ourselves anew', () => {
  const { clock, forgotten, refreshes, become, id } = set();
  const other = createIdentity().id;
  become(id, 'left');
  become(other, 'removed');
  clock.turn(9 * minute);
  expect(forgotten).toEqual([]);
  clock.turn(minute);
  expect(forgotten).toEqual([id]);
  expect(refreshes).toEqual([]);
  clock.turn(50 * minute);
  expect(forgotten).toEqual([id, other]);
  expect(refreshes).toEqual([60 * minute]);
  expect(clock.pending).toBe(0);
});

it('keeps who came back, and counts anew when it departs again', () => {
  const { clock, forgotten, become, id } = set();
  become(id, 'left');
  clock.turn(9 * minute);
  become(id, 'alive');
  clock.turn(60 * minute);
  expect(forgotten).toEqual([]);
  become(id, 'left');
  clock.turn(9 * minute);
  expect(forgotten).toEqual([]);
  clock.turn(minute);
  expect(forgotten).toEqual([id]);
});

it('leaves no timer behind', () => {
  const { clock, departures, become, id } = set();
  become(id, 'left');
  departures.stop();
  become(id, 'removed');
  expect(clock.pending).toBe(0);
});
