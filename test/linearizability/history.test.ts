import { describe, expect, it } from 'vitest';
import { failed, info, ok } from './histories.ts';
import { assertWellFormed, byKey, type HistoryEvent, HistoryRecorder, historyFromEvents } from './history.ts';

type Event = HistoryEvent<string, number>;

function recording(): { recorder: HistoryRecorder<string, number>; events: Event[] } {
  let now = 0;
  const events: Event[] = [];
  return {
    events,
    recorder: new HistoryRecorder(
      () => ++now,
      (event) => events.push(event),
    ),
  };
}

describe('HistoryRecorder', () => {
  it('records who asked what, when, and how it ended', () => {
    const { recorder, events } = recording();
    const a = recorder.invoke('a', 'x', 'get');
    const b = recorder.invoke('b', 'y', 'set');
    a.ok(7);
    b.failed();
    recorder.invoke('a', 'x', 'set').info();
    recorder.invoke('b', 'x', 'get');
    expect(historyFromEvents(events)).toEqual([
      { process: 'a', key: 'x', input: 'get', invokedAt: 1, outcome: { kind: 'ok', output: 7, at: 3 } },
      { process: 'b', key: 'y', input: 'set', invokedAt: 2, outcome: { kind: 'failed', at: 4 } },
      { process: 'a', key: 'x', input: 'set', invokedAt: 5, outcome: { kind: 'info', at: 6 } },
      { process: 'b', key: 'x', input: 'get', invokedAt: 7, outcome: { kind: 'info' } },
    ]);
  });

  it('refuses a process that asks two things at once, and an operation that ends twice', () => {
    const { recorder } = recording();
    const first = recorder.invoke('a', 'x', 'get');
    expect(() => recorder.invoke('a', 'x', 'get')).toThrow('asks again');
    first.ok(1);
    expect(() => first.info()).toThrow('ended twice');
  });

  it('gives events that survive JSON', () => {
    const { recorder, events } = recording();
    recorder.invoke('a', 'x', 'get').ok(1);
    recorder.invoke('a', 'x', 'get').info();
    const copied: Event[] = events.map((event) => JSON.parse(JSON.stringify(event)));
    expect(historyFromEvents(copied)).toEqual(historyFromEvents(events));
  });
});

describe('historyFromEvents', () => {
  const invoke: Event = { type: 'invoke', process: 'a', id: 1, key: 'x', input: 'get', at: 1 };
  const end: Event = { type: 'ok', process: 'a', id: 1, output: 1, at: 2 };

  it('tells processes with equal ids apart', () => {
    const history = historyFromEvents([invoke, { ...invoke, process: 'b' }, end]);
    expect(history.map(({ outcome }) => outcome.kind)).toEqual(['ok', 'info']);
  });

  it.each([
    ['invoked twice', [invoke, invoke]],
    ['without having been invoked', [end]],
    ['ended twice', [invoke, end, end]],
  ])('refuses an operation %s', (reason, events) => {
    expect(() => historyFromEvents(events)).toThrow(reason);
  });
});

describe('assertWellFormed', () => {
  it('accepts overlapping processes, and one that goes on after an unknown outcome', () => {
    const process = 'a';
    assertWellFormed([
      ok(0, 5, 'get', 1),
      ok(1, 2, 'get', 1),
      info(3, 'set', { process }),
      ok(4, 6, 'get', 1, { process }),
    ]);
  });

  it.each([
    ['before its invocation', [ok(5, 4, 'get', 1)]],
    ['no finite number', [failed(0, Number.NaN, 'get')]],
    ['no finite number', [info(Number.POSITIVE_INFINITY, 'get')]],
    ['before its last operation ended', [ok(3, 6, 'get', 1, { process: 'a' }), ok(0, 4, 'get', 1, { process: 'a' })]],
  ])('refuses a time %s', (reason, history) => {
    expect(() => assertWellFormed(history)).toThrow(reason);
  });
});

describe('byKey', () => {
  it('keeps the order within each key', () => {
    const [a, b, c] = [
      ok(0, 1, 'get', 1, { key: 'x' }),
      ok(2, 3, 'get', 1, { key: 'y' }),
      ok(4, 5, 'get', 1, { key: 'x' }),
    ];
    expect([...byKey([a, b, c])]).toEqual([
      ['x', [a, c]],
      ['y', [b]],
    ]);
  });
});
