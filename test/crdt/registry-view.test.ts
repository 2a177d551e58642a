import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileCriteria } from '../../src/crdt/registry-criteria.ts';
import { type AgentRecord, claimsBefore } from '../../src/crdt/registry-record.ts';
import { type Claim, RegistryView, type ViewChange } from '../../src/crdt/registry-view.ts';
import type { NodeId } from '../../src/node-id.ts';
import { agentId, agentIds, author, authors, criteria, record } from './registry-arbitraries.ts';

const rethrow = (error: unknown): never => {
  throw error;
};

type Action =
  | { readonly do: 'apply'; readonly claims: readonly Claim[] }
  | { readonly do: 'hide' | 'show'; readonly author: NodeId };

const claim: fc.Arbitrary<Claim> = fc.oneof(
  { weight: 3, arbitrary: record.map((one) => ({ record: one })) },
  fc.tuple(author, agentId).map(([who, id]) => ({ author: who, id, record: undefined })),
);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(claim, { minLength: 1, maxLength: 20 }).map((claims) => ({ do: 'apply', claims }) as const),
  },
  fc.tuple(fc.constantFrom('hide' as const, 'show' as const), author).map(([what, who]) => ({ do: what, author: who })),
);

function perform(view: RegistryView, one: Action): void {
  if (one.do === 'apply') view.apply(one.claims);
  else view[one.do](one.author);
}

/** What should be visible, by the definition: no index, no incremental step. */
class Model {
  readonly #claims = new Map<string, AgentRecord>();
  readonly hidden = new Set<NodeId>();

  perform(one: Action): void {
    if (one.do === 'apply') {
      for (const change of one.claims) {
        if (change.record === undefined) this.#claims.delete(`${change.author} ${change.id}`);
        else this.#claims.set(`${change.record.node} ${change.record.id}`, change.record);
      }
    } else if (one.do === 'hide') this.hidden.add(one.author);
    else this.hidden.delete(one.author);
  }

  claims(): AgentRecord[] {
    return [...this.#claims.values()];
  }

  winners(): AgentRecord[] {
    const winners = new Map<string, AgentRecord>();
    for (const one of this.#claims.values()) {
      const other = winners.get(one.id);
      if (!this.hidden.has(one.node) && (other === undefined || claimsBefore(one, other))) winners.set(one.id, one);
    }
    return [...winners.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

describe('RegistryView', () => {
  it('shows by every index what a scan over the definition finds, after any actions', () => {
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 30 }),
        fc.array(criteria, { minLength: 1, maxLength: 8 }),
        (actions, questions) => {
          const view = new RegistryView(rethrow);
          const model = new Model();
          for (const [at, one] of actions.entries()) {
            perform(view, one);
            model.perform(one);
            const visible = model.winners();
            expect(view.size).toBe(visible.length);
            // Not after each action, so that changes wait in buckets for different times.
            const tests = compileCriteria(questions[at % questions.length]);
            const expected = visible.filter((agent) => tests.every((test) => test.holds(agent)));
            expect(view.count(tests)).toBe(expected.length);
            expect(view.select(tests)).toEqual(expected);
            expect(view.select(tests, 2)).toEqual(expected.slice(0, 2));
          }
          expect(view.select([])).toEqual(model.winners());
          for (const field of ['capabilities', 'zone', 'kind', 'health', 'node'] as const) {
            for (const key of ['x', 'y', 'z', 'healthy', 'unhealthy', ...authors]) {
              const expected = model.winners().filter((agent) => [agent[field]].flat().includes(key));
              expect(view.select(compileCriteria({ [field]: key }))).toEqual(expected);
            }
          }
          for (const id of agentIds) expect(view.get(id)).toEqual(model.winners().find((agent) => agent.id === id));
          for (const who of authors)
            expect(view.claimCount(who)).toBe(model.claims().filter(({ node }) => node === who).length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('shows the same whatever the order in which claims and departures arrive', () => {
    // One claim for each author and id, as feeds give it: then nothing depends on an order of its own.
    const claims = fc.uniqueArray(record, { selector: ({ id, node }) => `${node} ${id}`, maxLength: 30 });
    fc.assert(
      fc.property(claims, fc.subarray(authors), fc.infiniteStream(fc.nat()), (records, gone, random) => {
        const actions: Action[] = [
          ...records.map((one) => ({ do: 'apply' as const, claims: [{ record: one }] })),
          ...gone.map((who) => ({ do: 'hide' as const, author: who })),
        ];
        const views = Array.from({ length: 4 }, () => new RegistryView(rethrow));
        for (const view of views) {
          const order = actions.map((one) => ({ one, at: random.next().value as number }));
          for (const { one } of order.sort((a, b) => a.at - b.at)) perform(view, one);
        }
        const together = new RegistryView(rethrow);
        together.apply(records.map((one) => ({ record: one })));
        for (const who of gone) together.hide(who);
        for (const view of views) expect(view.select([])).toEqual(together.select([]));
      }),
      { numRuns: 300 },
    );
  });

  it('tells each agent up, updates and down in turn, and the sum of what it tells is what it shows', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const view = new RegistryView(rethrow);
        const told = new Map<string, AgentRecord>();
        view.on('changes', (changes) => {
          for (const change of changes) {
            const { record: one } = change;
            const known = told.get(one.id);
            if (change.type === 'up') expect(known).toBeUndefined();
            else if (change.type === 'down') expect(known).toBe(one);
            else {
              expect(known).toBe(change.previous);
              expect(one.node).toBe(change.previous.node);
            }
            if (change.type === 'down') told.delete(one.id);
            else told.set(one.id, one);
          }
        });
        for (const one of actions) perform(view, one);
        expect([...told.values()].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual(view.select([]));
      }),
      { numRuns: 300 },
    );
  });

  it('says why an agent is gone', () => {
    const seen: string[] = [];
    const view = new RegistryView(rethrow);
    view.on('changes', (changes: readonly ViewChange[]) => {
      for (const change of changes) {
        seen.push(`${change.type} ${change.record.node}${change.type === 'down' ? ` ${change.reason}` : ''}`);
      }
    });
    const [template] = fc.sample(record, 1) as [AgentRecord];
    const by = (node: string, claimedAt: number): Claim => ({
      record: { ...template, id: 'x', node: node as NodeId, claimedAt },
    });
    const steps: readonly [step: () => void, expected: readonly string[]][] = [
      [() => view.apply([by('node-b', 5)]), ['up node-b']],
      [() => view.apply([by('node-c', 6)]), []],
      [() => view.apply([by('node-a', 4)]), ['down node-b conflict', 'up node-a']],
      [() => view.hide('node-a' as NodeId), ['down node-a node-down', 'up node-b']],
      [() => view.hide('node-a' as NodeId), []],
      [() => view.show('node-a' as NodeId), ['down node-b conflict', 'up node-a']],
      [
        () => view.apply([{ author: 'node-a' as NodeId, id: 'x', record: undefined }]),
        ['down node-a unregistered', 'up node-b'],
      ],
      [() => view.apply([by('node-b', 7)]), ['down node-b conflict', 'up node-c']],
      [() => view.apply([{ author: 'node-b' as NodeId, id: 'x', record: undefined }]), []],
      [() => view.apply([{ author: 'node-c' as NodeId, id: 'x', record: undefined }]), ['down node-c unregistered']],
      [() => view.apply([{ author: 'node-c' as NodeId, id: 'x', record: undefined }]), []],
    ];
    for (const [step, expected] of steps) {
      step();
      expect(seen.splice(0)).toEqual(expected);
    }
  });

  it('keeps large buckets right through arrivals and departures in bulk', () => {
    const [template] = fc.sample(record, 1) as [AgentRecord];
    const view = new RegistryView(rethrow);
    const expected = new Set<string>();
    const one = (at: number): AgentRecord => ({
      ...template,
      id: `agent-${at}`,
      node: authors[at % 2] as NodeId,
      zone: `zone-${at % 3}`,
      claimedAt: 1,
    });
    const check = (): void => {
      const records = view.select(compileCriteria({ zone: 'zone-1' }));
      const ids = [...expected].filter((id) => Number(id.slice(6)) % 3 === 1).sort();
      expect(records.map(({ id }) => id)).toEqual(ids);
    };
    for (let at = 0; at < 1000; at++) {
      view.apply([{ record: one((at * 389) % 1000) }]);
      expected.add(`agent-${(at * 389) % 1000}`);
      if (at % 97 === 0) check();
    }
    view.hide(authors[0] as NodeId);
    for (const id of [...expected]) if (Number(id.slice(6)) % 2 === 0) expected.delete(id);
    for (let at = 1; at < 1000; at += 6) {
      view.apply([{ author: authors[at % 2] as NodeId, id: `agent-${at}`, record: undefined }]);
      expected.delete(`agent-${at}`);
      if (at % 5 === 0) check();
    }
    check();
    view.show(authors[0] as NodeId);
    for (let at = 0; at < 1000; at += 2) expected.add(`agent-${at}`);
    check();
    expect(view.size).toBe(expected.size);
  });
});
