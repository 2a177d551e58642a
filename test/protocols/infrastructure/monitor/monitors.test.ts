import { describe, expect, test } from 'vitest';
import { QuorateError } from '../../../../src/errors.ts';
import { publishPauseMs } from '../../../../src/protocols/infrastructure/monitor/shared-measurements.ts';
import type { AttemptInfo } from '../../../../src/protocols/messaging/call-policy.ts';
import { type MonitorNode, MonitorWorld } from './monitor-nodes.ts';

const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(QuorateError);
    return (error as QuorateError).code;
  }
  return 'none';
};
const attempt = (agent: string): AttemptInfo => ({ agent, method: '', deadlineAt: 1e9, signal: undefined });
const own = { id: 'm', metric: 'own', windowMs: 10_000 } as const;

function three(liars = 0): { world: MonitorWorld; nodes: readonly [MonitorNode, MonitorNode, MonitorNode] } {
  const world = new MonitorWorld({ seed: 1 });
  return { world, nodes: [world.join('z', { liars }), world.join('z', { liars }), world.join('y', { liars })] };
}

describe('monitors of a node', () => {
  test('the same again is the same; with other options it exists already', () => {
    const [node] = three().nodes;
    const monitor = node.monitor(own);
    expect(node.monitor({ ...own, aggregation: 'p95', notify: undefined })).toBe(monitor);
    expect(codeOf(() => node.monitor({ ...own, aggregation: 'p50' }))).toBe('ALREADY_EXISTS');
    monitor[Symbol.dispose]();
    monitor[Symbol.dispose]();
    expect(node.monitors.status()).toEqual([]);
    expect(node.monitor({ ...own, aggregation: 'p50' })).not.toBe(monitor);
    expect(codeOf(() => node.monitor({ ...own, id: '' }))).toBe('INVALID_ARGUMENT');
    node.monitors.stop();
    node.monitors.stop();
    expect(codeOf(() => node.monitor(own))).toBe('STOPPED');
  });

  test('are bounded in number', () => {
    const [node] = three().nodes;
    for (let n = 0; n < 1_000; n++) node.monitor({ ...own, id: `m${n}`, scope: 'node' });
    expect(codeOf(() => node.monitor(own))).toBe('LIMIT_EXCEEDED');
  });

  test('refuse what is no number', () => {
    const monitor = three().nodes[0].monitor(own);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, '5' as never]) {
      expect(codeOf(() => monitor.record(value))).toBe('INVALID_ARGUMENT');
    }
    for (const percent of [-1, 101, Number.NaN])
      expect(codeOf(() => monitor.percentile(percent))).toBe('INVALID_ARGUMENT');
    expect([monitor.value, monitor.percentile(50), monitor.level]).toEqual([undefined, undefined, 'ok']);
  });

  test('a listener that throws is reported, and the others hear', async () => {
    const { world, nodes } = three();
    const monitor = nodes[0].monitor({ ...own, scope: 'node', thresholds: { warning: 1 } });
    const heard: string[] = [];
    monitor.onAlert(() => {
      throw new Error('mine');
    });
    const off = monitor.onAlert(({ level }) => heard.push(level));
    monitor.record(5);
    await world.run(1_000);
    expect([heard, nodes[0].errors.length, nodes[0].levels]).toEqual([['warning'], 1, 'w']);
    off();
    await world.run(15_000);
    expect([heard, nodes[0].levels]).toEqual([['warning'], 'wo']);
    expect(nodes[0].heard.at(-1)).toMatchObject({ level: 'ok', value: undefined, threshold: 1 });
  });
});

describe('scopes', () => {
  test('cluster: every node sees the measurements of all', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, aggregation: 'max' });
    nodes[0].record(1, 2);
    nodes[2].record(30);
    await world.run(1_000);
    for (const { only } of nodes) {
      expect(only.status()).toMatchObject({ value: 30, samples: 3, incident: undefined, level: 'ok' });
      expect([...only.status().nodes].sort()).toEqual([nodes[0].entries.self, nodes[2].entries.self]);
    }
  });

  test('zone and node: only those of the zone, only its own', async () => {
    const { world, nodes } = three();
    for (const scope of ['zone', 'node'] as const) {
      for (const node of nodes) node.monitor({ ...own, id: scope, scope, aggregation: 'count' });
      for (const node of nodes) node.record(5);
      await world.run(1_000);
      expect(nodes.map(({ only }) => only.value)).toEqual(scope === 'zone' ? [2, 2, 1] : [1, 1, 1]);
    }
    // What is of one node only is said to nobody.
    expect([...nodes[0].entries.keys()]).toEqual(['monitor/zone']);
  });

  test('each zone has its own incident', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, scope: 'zone', thresholds: { warning: 10 } });
    for (const node of nodes) node.record(node.entries.zone === 'z' ? 50 : 5);
    await world.run(2_000);
    expect(nodes.map(({ levels }) => levels)).toEqual(['w', 'w', '']);
    expect(nodes[0].only.status().incident).toMatch(/^m@z\//);
  });

  test('a node that goes takes its measurements with it', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, aggregation: 'count' });
    for (const node of nodes) node.record(5);
    await world.run(1_000);
    world.shared.kill(nodes[1].entries);
    nodes[2].only[Symbol.dispose]();
    await world.run(1_000);
    expect(nodes[0].only.value).toBe(1);
  });
});

describe('measurements', () => {
  test('of the same id that measure something else are not put together, and somebody is told', async () => {
    const { world, nodes } = three();
    nodes[0].monitor({ ...own, aggregation: 'count' });
    nodes[1].monitor({ ...own, metric: 'other', aggregation: 'count' });
    for (const node of nodes.slice(0, 2)) node.record(1);
    await world.run(3_000);
    expect(nodes[0].only.value).toBe(1);
    expect(nodes[0].errors.map((error) => (error as QuorateError).code)).toEqual(['CONFLICT']);
    expect(nodes[0].monitors.refused.conflicting).toBeGreaterThan(0);
  });

  test('get too old everywhere, also those of a node that says nothing more', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, aggregation: 'count' });
    nodes[0].record(1, 2, 3);
    await world.run(500);
    // It hangs: its timers do not run, and nobody calls it dead.
    nodes[0].entries.alive = false;
    await world.run(9_000);
    expect(nodes[1].only.value).toBe(3);
    await world.run(1_100);
    expect(nodes[1].only.value).toBeUndefined();
  });

  test('get too old on other nodes as well while younger ones count', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, aggregation: 'max' });
    nodes[0].record(100);
    await world.run(5_000);
    nodes[0].record(1);
    await world.run(1_000);
    expect(nodes[1].only.value).toBe(100);
    await world.run(4_600);
    expect(nodes.map(({ only }) => only.value)).toEqual([1, 1, 1]);
  });

  test('are said every twentieth of the window, and more rarely by each of many nodes', () => {
    expect([1, 30, 100, 1_000].map((nodes) => publishPauseMs(60_000, nodes))).toEqual([3_000, 3_000, 10_000, 15_000]);
    expect([1, 10, 100].map((nodes) => publishPauseMs(1_000, nodes))).toEqual([250, 250, 250]);
  });

  test('malformed ones are counted and ignored', async () => {
    const { world, nodes } = three();
    for (const node of nodes) node.monitor({ ...own, aggregation: 'count', thresholds: { warning: 100 } });
    nodes[0].record(1);
    nodes[1].entries.set('monitor/m', { d: 'nonsense', s: new Uint8Array(30_000) });
    nodes[1].entries.set('alert/m', { l: 'critical', at: 1e300 });
    await world.run(1_000);
    expect(nodes[2].only.value).toBe(1);
    expect(nodes[2].only.level).toBe('ok');
    expect(nodes[2].monitors.refused.malformed).toBe(2);
    expect(nodes[2].errors).toEqual([]);
  });

  test('one liar among ten cannot move the median far, however many measurements it claims', async () => {
    const world = new MonitorWorld({ seed: 3 });
    const nodes = world.joinMany(10, { ...own, aggregation: 'p50' });
    const liar = nodes[0] as MonitorNode;
    for (const node of nodes.slice(1)) node.record(...Array.from({ length: 100 }, (_, n) => n + 1));
    liar.record(...Array.from({ length: 50_000 }, () => 1e6));
    await world.run(1_000);
    expect(nodes[5]?.only.value).toBeGreaterThan(49);
    expect(nodes[5]?.only.value).toBeLessThan(57);
    expect(nodes[5]?.only.status().samples).toBe(50_900);
  });

  test('silence is heard of when asked for', async () => {
    const { world, nodes } = three();
    const monitor = nodes[0].monitor({
      ...own,
      aggregation: 'rate',
      direction: 'below',
      minSamples: 0,
      thresholds: { warning: 1 },
    });
    await world.run(9_900);
    expect(nodes[0].levels).toBe('');
    await world.run(1_000);
    expect([nodes[0].levels, monitor.level]).toEqual(['w', 'warning']);
    for (let n = 0; n < 100; n++) {
      monitor.record(1);
      await world.run(100);
    }
    expect([nodes[0].levels, Math.round(monitor.value as number)]).toEqual(['wo', 10]);
    await world.run(20_000);
    expect(nodes[0].levels).toBe('wow');
  });

  test('too few say nothing', async () => {
    const { world, nodes } = three();
    nodes[0].monitor({ ...own, minSamples: 3, thresholds: { warning: 1 } });
    nodes[0].record(5, 5);
    await world.run(5_000);
    expect(nodes[0].levels).toBe('');
    nodes[0].record(5);
    await world.run(1_000);
    expect(nodes[0].levels).toBe('w');
  });
});

describe('built-in metrics', () => {
  test('call latency: what agents take, not what never reached them', async () => {
    const { world, nodes } = three();
    const [node] = nodes;
    expect(node.monitors.admit(attempt('a'))).toBeUndefined();
    const one = node.monitor({ id: 'a', metric: 'callLatency', agent: 'a', aggregation: 'max', scope: 'node' });
    expect(node.monitors.admit(attempt('b'))).toBeUndefined();
    const all = node.monitor({ id: 'all', metric: 'callLatency', aggregation: 'count', scope: 'node' });
    const call = async (agent: string, ms: number, error?: QuorateError): Promise<void> => {
      const ended = node.monitors.admit(attempt(agent));
      await world.run(ms);
      ended?.(error);
    };
    await call('a', 20);
    await call('a', 30, new QuorateError('HANDLER_FAILED', 'no'));
    await call('a', 100, new QuorateError('UNKNOWN_OUTCOME', 'late', { reason: 'deadline' }));
    await call('a', 200, new QuorateError('UNKNOWN_OUTCOME', 'given up', { reason: 'cancelled' }));
    await call('a', 300, new QuorateError('REJECTED', 'full', { reason: 'mailbox-full' }));
    await call('a', 400, new QuorateError('NOT_DELIVERED', 'gone', { reason: 'unreachable' }));
    await call('b', 500);
    expect([one.value, all.value]).toEqual([100, 4]);
    one[Symbol.dispose]();
    all[Symbol.dispose]();
    expect(node.monitors.admit(attempt('a'))).toBeUndefined();
  });

  test('sources run only while a monitor needs them', async () => {
    const world = new MonitorWorld({ seed: 1 });
    const told = new Set<(value: number) => void>();
    const start = (record: (value: number) => void): (() => void) => {
      told.add(record);
      return () => void told.delete(record);
    };
    let asked = 0;
    const sample = (agent: string | undefined): number | undefined => {
      asked += 1;
      if (asked === 1) throw new Error('not yet');
      return agent === 'a' ? asked : undefined;
    };
    const metrics = {
      coordinationLatency: { kind: 'told', start },
      mailboxDepth: { kind: 'sampled', sample },
    } as const;
    const node = world.join('z', { metrics });
    await world.run(10_000);
    expect([asked, told.size]).toEqual([0, 0]);
    const depth = node.monitor({ id: 'd', metric: 'mailboxDepth', agent: 'a', aggregation: 'max' });
    const other = node.monitor({ id: 'o', metric: 'mailboxDepth', agent: 'b', aggregation: 'max' });
    const latency = node.monitor({ id: 'l', metric: 'coordinationLatency', aggregation: 'max' });
    for (const record of told) for (const value of [7, Number.NaN]) record(value);
    await world.run(5_100);
    expect([depth.value, other.value, latency.value, node.errors.length]).toEqual([9, undefined, 7, 1]);
    for (const monitor of [depth, other, latency]) monitor[Symbol.dispose]();
    const before = asked;
    await world.run(10_000);
    expect([asked, told.size]).toEqual([before, 0]);
  });

  test('one that this mesh cannot measure, and one with a name from elsewhere, are recorded by hand', async () => {
    const { nodes } = three();
    for (const metric of ['cpu', 'constructor']) {
      const monitor = nodes[0].monitor({ id: metric, metric, aggregation: 'max' });
      monitor.record(0.5);
      expect(monitor.value).toBe(0.5);
    }
  });
});

describe('calls to agents', () => {
  const paged = { ...own, thresholds: { warning: 10 }, notify: { agents: ['pager'], method: 'page' } };

  test('are tried again until the agent answers', async () => {
    const { world, nodes } = three();
    world.answer = () => {
      if (world.calls.length < 4) throw new QuorateError('NOT_DELIVERED', 'gone', { reason: 'unreachable' });
    };
    for (const node of nodes) node.monitor(paged);
    nodes[0].record(50);
    await world.run(9_000);
    expect(world.calls.length).toBe(4);
    expect(new Set(world.calls.map(({ key }) => key)).size).toBe(1);
    expect(world.calls[0]).toMatchObject({
      agent: 'pager',
      method: 'page',
      alert: { monitor: 'm', level: 'warning', value: 50 },
    });
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test.each([
    ['has no such method', new QuorateError('REJECTED', 'no', { reason: 'no-such-method' }), 1],
    ['failed', new QuorateError('HANDLER_FAILED', 'no'), 1],
    ['never answers', new QuorateError('REJECTED', 'full', { reason: 'mailbox-full' }), 7],
  ])('an agent that %s is given up, and that is reported', async (_what, error, attempts) => {
    const { world, nodes } = three();
    world.answer = () => {
      throw error;
    };
    for (const node of nodes) node.monitor({ ...paged, windowMs: 3_600_000 });
    nodes[0].record(50);
    await world.run(300_000);
    expect(world.calls.length).toBe(attempts);
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([error]);
  });

  test('end with the monitor', async () => {
    const { world, nodes } = three();
    world.answer = () => {
      throw new QuorateError('NOT_DELIVERED', 'gone', { reason: 'unreachable' });
    };
    const monitor = nodes[0].monitor(paged);
    monitor.record(50);
    await world.run(1_000);
    const { length } = world.calls;
    monitor[Symbol.dispose]();
    await world.run(60_000);
    expect([world.calls.length, nodes[0].errors, nodes[0].entries.written.size]).toEqual([length, [], 0]);
  });
});
