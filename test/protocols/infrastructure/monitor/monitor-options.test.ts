import { describe, expect, test } from 'vitest';
import { QuorateError } from '../../../../src/errors.ts';
import type { MonitorOptions } from '../../../../src/protocols/infrastructure/monitor/monitor.ts';
import {
  measureDigest,
  resolveMonitorOptions,
} from '../../../../src/protocols/infrastructure/monitor/monitor-options.ts';

const fieldsOf = (options: unknown): string[] => {
  try {
    resolveMonitorOptions(options as MonitorOptions);
  } catch (error) {
    expect(error).toBeInstanceOf(QuorateError);
    expect((error as QuorateError).code).toBe('INVALID_ARGUMENT');
    return Object.keys((error as QuorateError).data['fields'] as object).sort();
  }
  return [];
};

describe('options of a monitor', () => {
  test('have defaults', () => {
    expect(resolveMonitorOptions({ id: 'm', metric: 'cpu' })).toEqual({
      id: 'm',
      metric: 'cpu',
      aggregation: 'p95',
      agent: undefined,
      thresholds: { warning: undefined, critical: undefined, direction: 'above', hysteresis: 0.1 },
      windowMs: 60_000,
      minSamples: 1,
      scope: 'cluster',
      notify: undefined,
    });
  });

  test('every wrong one is named', () => {
    const wrong = {
      id: '',
      metric: 5,
      aggregation: 'p42',
      agent: '',
      thresholds: { warning: Number.NaN, extreme: 1 },
      direction: 'up',
      hysteresis: 2,
      windowMs: 10,
      minSamples: 0.5,
      scope: 'world',
      notify: { agents: [] },
      color: 'red',
    };
    expect(fieldsOf(wrong)).toEqual(
      [
        'agent',
        'aggregation',
        'color',
        'direction',
        'hysteresis',
        'id',
        'metric',
        'minSamples',
        'notify.agents',
        'scope',
      ].concat(['thresholds.extreme', 'thresholds.warning', 'windowMs']),
    );
    expect(fieldsOf(undefined)).toEqual(['(options)']);
    expect(fieldsOf({})).toEqual(['id', 'metric']);
    expect(() => resolveMonitorOptions({ id: 'm' } as MonitorOptions)).toThrow('metric must be given');
    expect(() => resolveMonitorOptions(undefined as never)).toThrow('(options) must be an object');
  });

  test('critical is worse than the warning', () => {
    const made = { id: 'm', metric: 'x' };
    expect(fieldsOf({ ...made, thresholds: { warning: 5, critical: 4 } })).toEqual(['thresholds.critical']);
    expect(fieldsOf({ ...made, thresholds: { warning: 5, critical: 5 } })).toEqual([]);
    expect(fieldsOf({ ...made, direction: 'below', thresholds: { warning: 5, critical: 6 } })).toEqual([
      'thresholds.critical',
    ]);
    expect(fieldsOf({ ...made, direction: 'below', thresholds: { warning: 5, critical: 4 } })).toEqual([]);
  });

  test('an agent is named where the metric is by agent, and only there', () => {
    expect(fieldsOf({ id: 'm', metric: 'cpu', agent: 'a' })).toEqual(['agent']);
    expect(fieldsOf({ id: 'm', metric: 'mailboxDepth', agent: 'a' })).toEqual([]);
    expect(fieldsOf({ id: 'm', metric: 'callLatency' })).toEqual([]);
    expect(fieldsOf({ id: 'm', metric: 'own', agent: 'a' })).toEqual([]);
  });

  test('measurements belong together when metric, agent, window and scope are the same', () => {
    const digest = (options: Partial<MonitorOptions>): string =>
      measureDigest(resolveMonitorOptions({ id: 'm', metric: 'callLatency', ...options }));
    expect(digest({ thresholds: { warning: 1 }, aggregation: 'max' })).toBe(digest({}));
    const others = [{ metric: 'cpu' }, { agent: 'a' }, { windowMs: 5_000 }, { scope: 'zone' as const }].map(digest);
    expect(new Set([digest({}), ...others]).size).toBe(5);
  });
});
