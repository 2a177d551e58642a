/**
 * What every implementation of monitors must do, as cases for any test runner.
 *
 * @example
 * import { test } from 'node:test';
 * import { monitorConformance } from 'quorate/conformance';
 * monitorConformance({ test, create: async () => ({ parties: [one, two, three], stop }) });
 */
import assert from 'node:assert/strict';
import type { Infrastructure } from '../protocols/infrastructure/infrastructure.ts';
import type { Alert, Monitor, MonitorOptions } from '../protocols/infrastructure/monitor/monitor.ts';
import type { MethodHandler } from '../protocols/messaging/messaging.ts';
import { type Cases, type ConformanceOptions, declareCases, failure } from './suite.ts';

/** A node that measures. */
export interface MonitorParty {
  readonly infrastructure: Pick<Infrastructure, 'monitor' | 'status'>;
  /** Registers an agent here with a handler for each method; resolves when all parties know of it. */
  register(agent: string, handler: Readonly<Record<string, MethodHandler>>): Promise<void>;
  call(agent: string, message: string, options: { readonly method: string }): Promise<unknown>;
}

/** Fresh and empty. */
export interface MonitorSubject {
  /** On one node or on several, as the implementation has them. */
  readonly parties: readonly [MonitorParty, MonitorParty, MonitorParty];
  stop(): Promise<void>;
}

export type MonitorConformanceOptions = ConformanceOptions<MonitorSubject>;

/** For what comes in time; measurements travel in milliseconds, and are forgotten after their window. */
const patienceMs = 60_000;
const pollMs = 5;

async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  for (const until = performance.now() + patienceMs; performance.now() < until; ) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  assert.fail(`waited ${patienceMs} ms for ${what}`);
}

const holds = (condition: boolean): true | undefined => (condition ? true : undefined);

const made = ({ parties }: MonitorSubject, options: MonitorOptions): Monitor[] =>
  parties.map(({ infrastructure }) => infrastructure.monitor(options));

/** Relative, as sketches are. */
function assertNear(actual: number | undefined, expected: number): void {
  assert.ok(actual !== undefined && Math.abs(actual / expected - 1) <= 0.0101, `${actual} is not near ${expected}`);
}

const own = { id: 'response-time', metric: 'response-time' } as const;

const cases: Cases<MonitorSubject> = {
  'percentiles are those of all measurements of all nodes': async (subject) => {
    const [one, two, three] = made(subject, own) as [Monitor, Monitor, Monitor];
    assert.deepEqual([one.value, one.percentile(50), one.level], [undefined, undefined, 'ok']);
    for (let n = 1; n <= 300; n++) ([one, two, three][n % 3] as Monitor).record(n);
    for (const monitor of [one, two, three]) {
      await eventually('all measurements', () => holds(monitor.status().samples === 300));
      assertNear(monitor.value, 285);
      assertNear(monitor.percentile(50), 150);
      assert.deepEqual([monitor.percentile(0), monitor.percentile(100)], [1, 300]);
      const { value, level, incident, ...rest } = monitor.status();
      assert.equal(value, monitor.value);
      assert.deepEqual([level, incident], ['ok', undefined]);
      assert.deepEqual(
        [rest.id, rest.metric, rest.aggregation, rest.scope],
        ['response-time', 'response-time', 'p95', 'cluster'],
      );
    }
  },

  'every aggregation': async (subject) => {
    const aggregations = ['p50', 'p90', 'p95', 'p99', 'mean', 'min', 'max', 'sum', 'count', 'rate'] as const;
    const monitors = aggregations.map((aggregation) => made(subject, { ...own, id: aggregation, aggregation }));
    for (const parties of monitors) for (let n = 1; n <= 100; n++) (parties[n % 3] as Monitor).record(n);
    const expected = [50, 90, 95, 99, 50.5, 1, 100, 5_050, 100];
    for (const [n, parties] of monitors.entries()) {
      for (const monitor of parties) {
        await eventually('all measurements', () => holds(monitor.status().samples === 100));
        const value = monitor.value;
        const figure = expected[n];
        if (figure === undefined) assert.ok((value ?? 0) > 0, `a rate of ${value}`);
        else if (n < 4) assert.ok(Math.abs((value ?? 0) - figure) <= 2, `${aggregations[n]} is ${value}`);
        else assert.ok(Math.abs((value ?? 0) - figure) < 1e-6, `${aggregations[n]} is ${value}`);
      }
    }
  },

  'measurements count for the window': async (subject) => {
    const [one, two] = made(subject, { ...own, windowMs: 1_000, aggregation: 'count' }) as [Monitor, Monitor];
    // Again each time it is looked for: on a slow machine the first may be too old before it is seen.
    await eventually('a measurement', () => {
      one.record(5);
      return holds(two.value !== undefined);
    });
    await eventually('its end', () => holds(one.value === undefined && two.value === undefined));
  },

  'an incident is raised once, heard once by each, and cleared': async (subject) => {
    const calls: Alert[] = [];
    await subject.parties[0].register('pager', { page: (alert: Alert) => void calls.push(alert) });
    const options = {
      ...own,
      windowMs: 1_500,
      aggregation: 'max',
      thresholds: { warning: 100, critical: 500 },
      notify: { agents: ['pager'], method: 'page' },
    } as const;
    const monitors = [...new Set(made(subject, options))];
    const heard = monitors.map((monitor) => {
      const alerts: Alert[] = [];
      monitor.onAlert((alert) => alerts.push(alert));
      return alerts;
    });
    const last = monitors.at(-1) as Monitor;
    // Again while it is waited for, so that it does not get too old on a slow machine.
    await eventually('the warning', () => {
      last.record(300);
      return holds(monitors.every(({ level }) => level === 'warning'));
    });
    await eventually('the critical level', () => {
      last.record(900);
      return holds(monitors.every(({ level }) => level === 'critical'));
    });
    for (const alerts of heard) await eventually('the end', () => holds(alerts.at(-1)?.level === 'ok'));
    for (const alerts of heard) {
      assert.deepEqual(
        alerts.map(({ level, previous, value, threshold }) => [level, previous, value, threshold]),
        (heard[0] as Alert[]).map(({ level, previous, value, threshold }) => [level, previous, value, threshold]),
      );
      const [warning, critical] = alerts as [Alert, Alert];
      assert.deepEqual(
        [warning.level, warning.previous, warning.value, warning.threshold],
        ['warning', 'ok', 300, 100],
      );
      assert.deepEqual([critical.level, critical.previous, critical.value], ['critical', 'warning', 900]);
      assert.deepEqual([warning.monitor, warning.metric, warning.aggregation], [own.id, own.metric, 'max']);
      assert.equal(new Set(alerts.map(({ incident }) => incident)).size, 1);
    }
    const levels = (heard[0] as Alert[]).map(({ level }) => level);
    await eventually('the calls', () => holds(calls.length === levels.length));
    assert.deepEqual(
      calls.map(({ level }) => level),
      levels,
    );
    for (const monitor of monitors) {
      assert.deepEqual([monitor.level, monitor.status().incident], ['ok', undefined]);
    }
  },

  'hysteresis: a value that hovers around the threshold raises one alert': async ({ parties }) => {
    const options = {
      ...own,
      scope: 'node',
      aggregation: 'mean',
      windowMs: 60_000,
      thresholds: { warning: 100 },
    } as const;
    const monitor = parties[0].infrastructure.monitor(options);
    const heard: string[] = [];
    monitor.onAlert(({ level }) => heard.push(level));
    monitor.record(101);
    await eventually('the warning', () => holds(monitor.level === 'warning'));
    // The mean is 98 now: better than the threshold, but not by a tenth.
    monitor.record(95);
    monitor.record(60);
    monitor.record(40);
    // 74, and that is.
    await eventually('the end', () => holds(monitor.level === 'ok'));
    assert.deepEqual(heard, ['warning', 'ok']);
  },

  'calls are measured, by agent': async ({ parties }) => {
    await parties[0].register('worker', { work: () => 'done' });
    await parties[0].register('idler', { work: () => 'done' });
    const options = { id: 'calls', metric: 'callLatency', agent: 'worker', aggregation: 'count' } as const;
    const monitors = parties.map(({ infrastructure }) => infrastructure.monitor(options));
    for (const party of parties) {
      for (const agent of ['worker', 'idler']) assert.equal(await party.call(agent, 'go', { method: 'work' }), 'done');
    }
    for (const monitor of monitors) await eventually('three calls', () => holds(monitor.value === 3));
    assert.ok((monitors[0]?.percentile(99) ?? -1) >= 0);
  },

  'the process measures itself': async ({ parties }) => {
    for (const metric of ['cpu', 'memory', 'eventLoopLag']) {
      const monitor = parties[0].infrastructure.monitor({ id: metric, metric, aggregation: 'max', scope: 'node' });
      const value = await eventually(metric, () => monitor.value);
      assert.ok(metric === 'memory' ? value > 1_000_000 : value >= 0, `${metric} is ${value}`);
    }
  },

  'the same again is the same; other options are refused': async ({ parties }) => {
    const { infrastructure } = parties[0];
    const monitor = infrastructure.monitor(own);
    assert.equal(infrastructure.monitor({ ...own }), monitor);
    assert.deepEqual(
      infrastructure.status().monitors.map(({ id }) => id),
      [own.id],
    );
    await failure('ALREADY_EXISTS', () => infrastructure.monitor({ ...own, aggregation: 'max' }));
    monitor[Symbol.dispose]();
    monitor[Symbol.dispose]();
    assert.deepEqual(infrastructure.status().monitors, []);
    assert.notEqual(infrastructure.monitor({ ...own, aggregation: 'max' }), monitor);
  },

  'what cannot be is refused, every field named': async ({ parties }) => {
    const { infrastructure } = parties[0];
    const wrong = { id: '', metric: 'x', aggregation: 'p42', windowMs: -1 } as never;
    const { data } = await failure('INVALID_ARGUMENT', () => infrastructure.monitor(wrong));
    assert.deepEqual(Object.keys(data['fields'] as object).sort(), ['aggregation', 'id', 'windowMs']);
    const monitor = infrastructure.monitor(own);
    await failure('INVALID_ARGUMENT', () => monitor.record(Number.NaN));
    await failure('INVALID_ARGUMENT', () => monitor.percentile(101));
  },

  'a node that has stopped makes none': async (subject) => {
    const { infrastructure } = subject.parties[0];
    await subject.stop();
    await failure('STOPPED', () => infrastructure.monitor(own));
  },
};

export function monitorConformance(options: MonitorConformanceOptions): void {
  declareCases(options, cases);
}
