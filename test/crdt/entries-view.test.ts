import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EntriesView, type EntryWrite } from '../../src/crdt/entries-view.ts';
import type { NodeId } from '../../src/node-id.ts';

type Action =
  | { readonly do: 'apply'; readonly writes: readonly EntryWrite[] }
  | { readonly do: 'hide' | 'show' | 'forget'; readonly author: NodeId };

const author = fc.constantFrom('a', 'b', 'c') as fc.Arbitrary<NodeId>;
const key = fc.constantFrom('x', 'y', 'z');
const write: fc.Arbitrary<EntryWrite> = fc.record({
  author,
  key,
  value: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(undefined)),
});
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.array(write, { maxLength: 5 }).map((writes) => ({ do: 'apply', writes }) as const) },
  fc.record({ do: fc.constantFrom('hide' as const, 'show' as const, 'forget' as const), author }),
);

/** What should be visible, by the definition. */
class Model {
  readonly #all = new Map<NodeId, Map<string, unknown>>();
  readonly #hidden = new Set<NodeId>();

  perform(one: Action): void {
    if (one.do === 'apply') {
      for (const entry of one.writes) {
        const entries = this.#all.get(entry.author) ?? new Map<string, unknown>();
        this.#all.set(entry.author, entries);
        if (entry.value === undefined) entries.delete(entry.key);
        else entries.set(entry.key, entry.value);
      }
      return;
    }
    if (one.do === 'hide') this.#hidden.add(one.author);
    else this.#hidden.delete(one.author);
    if (one.do === 'forget') this.#all.delete(one.author);
  }

  of(name: string): Record<string, unknown> {
    const shown: Record<string, unknown> = {};
    for (const [node, entries] of this.#all) {
      if (!this.#hidden.has(node) && entries.has(name)) shown[node] = entries.get(name);
    }
    return shown;
  }
}

function perform(view: EntriesView, one: Action): void {
  if (one.do === 'apply') view.apply(one.writes);
  else view[one.do](one.author);
}

describe('EntriesView', () => {
  it('shows what the visible authors wrote last, after any actions', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const [view, model] = [new EntriesView(() => undefined), new Model()];
        for (const one of actions) {
          perform(view, one);
          model.perform(one);
          for (const name of ['x', 'y', 'z']) expect(Object.fromEntries(view.of(name))).toEqual(model.of(name));
          const keys = ['x', 'y', 'z'].filter((name) => Object.keys(model.of(name)).length > 0);
          expect([...view.keys()].sort()).toEqual(keys);
        }
      }),
    );
  });

  it('tells every key that changed, once for each call', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        let told: string[][] = [];
        const view = new EntriesView((keys) => told.push([...keys]));
        for (const one of actions) {
          const before = ['x', 'y', 'z'].map((name) => JSON.stringify([...view.of(name)].sort()));
          told = [];
          perform(view, one);
          expect(told.length).toBeLessThanOrEqual(1);
          for (const [at, name] of ['x', 'y', 'z'].entries()) {
            const changed = JSON.stringify([...view.of(name)].sort()) !== before[at];
            if (changed) expect(told.flat()).toContain(name);
          }
        }
      }),
    );
  });

  it('does not depend on the order in which authors are heard', () => {
    const each = fc.array(fc.record({ key, value: fc.integer() }), { maxLength: 6 });
    fc.assert(
      fc.property(each, each, fc.array(fc.boolean()), (ofA, ofB, turns) => {
        const entries = (node: string, list: typeof ofA): EntryWrite[] =>
          list.map((one) => ({ author: node as NodeId, ...one }));
        const [a, b] = [entries('a', ofA), entries('b', ofB)];
        const [together, mixed] = [new EntriesView(() => undefined), new EntriesView(() => undefined)];
        together.apply([...a, ...b]);
        const [restA, restB] = [[...a], [...b]];
        for (const first of turns) mixed.apply((first ? restA : restB).splice(0, 1));
        mixed.apply([...restB, ...restA]);
        for (const name of ['x', 'y', 'z']) {
          expect(Object.fromEntries(mixed.of(name))).toEqual(Object.fromEntries(together.of(name)));
        }
      }),
    );
  });
});
