import { describe, expect, it } from 'vitest';
import { decideShown, type Held, type Situation } from '../../../src/protocols/variables/switching.ts';

/** Stamps of whole milliseconds. */
const ms = (at: number): number => at * 2048;
const held = (value: string, atMs: number): Held<string> => ({ value, since: ms(atMs) });

function decide(
  terms: { threshold?: number; cooldownMs?: number },
  situation: Partial<Situation<string>> & { readonly votes: Record<string, number> },
) {
  const scores = new Map(Object.entries(situation.votes).map(([value, score]) => [value, { value, score }]));
  const best = [...scores.values()].reduce((most, one) => (one.score > most.score ? one : most));
  const { threshold = 0, cooldownMs = 0 } = terms;
  return decideShown(
    { threshold, cooldownMs, keyOf: (value: string) => value },
    {
      scores,
      best,
      said: [],
      mine: undefined,
      contributes: true,
      wallNowMs: 1_000,
      stamp: () => ms(1_000),
      ...situation,
    },
  );
}

describe('which choice is shown', () => {
  it('begins with the best, and says so', () => {
    expect(decide({}, { votes: { a: 1, b: 2 } })).toEqual({
      held: held('b', 1_000),
      write: true,
      againInMs: undefined,
    });
    expect(decide({}, { votes: { a: 1, b: 2 }, contributes: false })).toMatchObject({
      held: { value: 'b', since: 0 },
      write: false,
    });
  });

  it('stays with a choice that is worse by no more than the threshold', () => {
    const mine = held('a', 1);
    expect(decide({ threshold: 0.1 }, { votes: { a: 10, b: 11 }, mine }).held).toEqual(mine);
    expect(decide({ threshold: 0.1 }, { votes: { a: 10, b: 11.1 }, mine }).held).toEqual(held('b', 1_000));
  });

  it('stays for the cooldown, and says when to look again', () => {
    const mine = held('a', 900);
    const situation = { votes: { a: 0, b: 2 }, mine, said: [mine] };
    expect(decide({ cooldownMs: 300 }, situation)).toEqual({ held: mine, write: false, againInMs: 200 });
    expect(decide({ cooldownMs: 100 }, situation).held).toEqual(held('b', 1_000));
  });

  it('takes over a later switch of another, if it is plausible', () => {
    const [mine, theirs] = [held('a', 1), held('b', 2)];
    const terms = { threshold: 0.1, cooldownMs: 10_000 };
    expect(decide(terms, { votes: { a: 11, b: 10 }, mine, said: [theirs] })).toMatchObject({
      held: theirs,
      write: false,
    });
    expect(decide(terms, { votes: { a: 12, b: 10 }, mine, said: [theirs, mine] }).held).toEqual(mine);
    // One earlier than ours has been left for a reason.
    expect(decide(terms, { votes: { a: 0, b: 10 }, mine: held('a', 999), said: [theirs] }).held.value).toBe('a');
  });

  it('writes down what it remembers when nobody else says it any more', () => {
    const mine = held('a', 1);
    expect(decide({ threshold: 0.5 }, { votes: { a: 2, b: 2 }, mine, said: [held('b', 0)] })).toMatchObject({
      held: mine,
      write: true,
    });
    // Who cannot write it down, does not remember it either.
    expect(
      decide({ threshold: 0.5 }, { votes: { a: 2, b: 2 }, mine, said: [held('b', 0)], contributes: false }),
    ).toMatchObject({
      held: held('b', 0),
      write: false,
    });
  });

  it('a newcomer respects a cooldown that runs', () => {
    const said = [held('a', 950), held('b', 1)];
    expect(decide({ cooldownMs: 100 }, { votes: { a: 0, b: 2 }, said })).toMatchObject({
      held: held('a', 950),
      againInMs: 50,
    });
    expect(decide({ cooldownMs: 50 }, { votes: { a: 0, b: 2 }, said }).held).toEqual(held('b', 1));
  });

  it('of two switches at once, all take the same', () => {
    const said = [held('a', 5), held('b', 5)];
    for (const order of [said, [...said].reverse()]) {
      expect(decide({ threshold: 0.5 }, { votes: { a: 1, b: 1 }, said: order }).held.value).toBe('b');
    }
  });
});
