/** Ways into a view that nobody serves, each of which once had no way out. */
import { describe, expect, it } from 'vitest';
import type { Status } from '../../../src/protocols/pbft/messages.ts';
import { clientNode, Table } from './table.ts';

type Letter = Table['letters'][number];

const dead =
  (...gone: number[]) =>
  ({ from, to }: Letter): boolean =>
    gone.includes(from) || gone.includes(to);

describe('a view whose new view never comes', () => {
  it('is left by a primary that restarted in it, although one of its quorum has gone on', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(1, 'a'));
    // r0 is silent, and r1 dies before the view changes reach it, from which it would have made its new view.
    table.pause(250, (letter) => dead(0)(letter) || (letter.to === 1 && letter.message.type === 'viewChange'));
    expect(table.states.map(({ view, active }) => `${view} ${active}`).slice(1)).toEqual(Array(3).fill('1 false'));
    table.pause(500, dead(0, 1));
    expect(table.states.map(({ suspecting }) => suspecting).slice(2)).toEqual([true, true]);
    // r0 lies to r3 alone, which so has a quorum for leaving view 1.
    const word: Status = {
      type: 'status',
      epoch: 0,
      view: 1,
      active: false,
      suspects: true,
      stable: 0,
      executed: 1,
      viewChanges: [],
      slots: [],
    };
    expect(table.hand(3, 0, word)).toContain('persist viewChange 2/0');
    table.settle(dead(0, 1));
    table.restart(1);
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
