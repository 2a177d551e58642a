/** Ways into a view that nobody serves, each of which once had no way out. */
import { describe, expect, it } from 'vitest';
import type { Status } from '../../../src/protocols/pbft/messages.ts';
import { clientNode, Table } from './table.ts';

type Letter = Table['letters'][number];

const suspicion = (view: number): Status => {
  const nothing = { stable: 0, executed: 1, viewChanges: [], slots: [] };
  return { type: 'status', epoch: 0, view, active: view === 0, suspects: true, ...nothing };
};

const dead =
  (...gone: number[]) =>
  ({ from, to }: Letter): boolean =>
    gone.includes(from) || gone.includes(to);

describe('a view in which a liar has served one of the others', () => {
  it('is left by that one too, when f + 1 are stuck', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    // r0 gives its commit to r3 alone, which decides by it without having prepared the batch, and is content.
    table.order(1, 'a', ({ from, to, message }) => {
      return (message.type === 'prepare' && to === 3) || (message.type === 'commit' && from === 0 && to !== 3);
    });
    expect(table.executed()).toEqual([2, 1, 1, 2]);
    expect(table.states[3]?.log.slots.get(2)?.commitView).toBe(-1);
    // r1 and r2 are not a quorum, and r3 alone cannot tell them what was decided.
    table.pause(3_000, dead(0));
    expect(table.executed().slice(1)).toEqual([2, 2, 2]);
    expect(table.lengths()).toEqual([1, 1, 1, 1]);
  });

  it('is not left for one that is stuck, nor for what f replicas say', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(2, 1, suspicion(0));
    expect(table.states[2]?.suspecting).toBe(false);
    table.hand(2, 1, suspicion(0));
    expect(table.states[2]?.suspecting).toBe(false);
    table.hand(2, 3, suspicion(0));
    expect(table.states[2]).toMatchObject({ view: 1, active: false });
  });

  it('is not left for the word of one where nobody lies', () => {
    const table = new Table({ n: 5, f: 0 }).open();
    table.hand(2, 1, suspicion(0));
    expect(table.states[2]?.suspecting).toBe(false);
    table.hand(2, 3, suspicion(0));
    expect(table.states[2]).toMatchObject({ view: 0, active: true, suspecting: false });
  });
});

describe('a view whose new view never comes', () => {
  it('is left by those that restarted in it, although one of their quorum has gone on', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(1, 'a'));
    // r0 is silent, and r1 dies before the view changes reach it, from which it would have made its new view.
    table.pause(250, (letter) => dead(0)(letter) || (letter.to === 1 && letter.message.type === 'viewChange'));
    expect(table.states.map(({ view, active }) => `${view} ${active}`).slice(1)).toEqual(Array(3).fill('1 false'));
    table.pause(500, dead(0, 1));
    expect(table.states.map(({ suspecting }) => suspecting).slice(2)).toEqual([true, true]);
    // r0 lies to r3 alone, which so has a quorum for leaving view 1.
    expect(table.hand(3, 0, suspicion(1))).toContain('persist viewChange 2/0');
    table.settle(dead(0, 1));
    // A restart forgets impatience, and what others said of theirs.
    for (const restarted of [1, 2]) table.restart(restarted);
    expect(table.states.map(({ view, active }) => `${view} ${active}`).slice(1)).toEqual([
      '1 false',
      '1 false',
      '2 false',
    ]);
    // Only two view changes for view 1 are to be had; the three replicas must all find out that it is over.
    table.pause(3_000, dead(0));
    expect(table.lengths()).toEqual([0, 1, 1, 1]);
    expect(table.states[1]?.view).toBeGreaterThan(1);
  });
});
