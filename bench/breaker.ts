/**
 * Circuit breakers: what a closed one adds to a call, beside cockatiel's; how fast ten nodes (real connections, one process) refuse once the deciding
 * failure has happened at one of them; and how many calls reach the agent while it is half-open and all of them call.
 *
 *   npm run bench -- breaker [--json] [-- --nodes 10 --rounds 40]
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ConsecutiveBreaker, circuitBreaker, handleAll } from 'cockatiel';
import { createMesh, type Mesh } from '../src/index.ts';
import { benchArguments, quantile, report } from './harness.ts';

const { json, nodes, rounds } = benchArguments({ nodes: 10, rounds: 40 });

/** Nanoseconds per awaited call: the best of several turns, taken in turns so that all meet the same machine. */
async function awaited(operations: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const turns = 25;
  const calls = 20_000;
  const best = operations.map(() => Number.POSITIVE_INFINITY);
  for (let turn = 0; turn < turns; turn++) {
    for (const [index, operation] of operations.entries()) {
      const start = performance.now();
      for (let call = 0; call < calls; call++) await operation();
      best[index] = Math.min(best[index] as number, ((performance.now() - start) * 1e6) / calls);
    }
  }
  return best;
}

async function overheads(): Promise<{ closedOverheadNs: number; cockatielNs: number }> {
  await using plain = await createMesh();
  await using guarded = await createMesh();
  const echo = (message: unknown): unknown => message;
  await plain.registry.register('echo', echo, { capabilities: ['echo'] });
  await guarded.registry.register('echo', echo, { capabilities: ['echo'] });
  guarded.infrastructure.circuitBreaker({ agent: 'echo' });
  const policy = circuitBreaker(handleAll, { halfOpenAfter: 30_000, breaker: new ConsecutiveBreaker(5) });
  const nothing = async (): Promise<number> => 1;
  const [without, within, bare, cockatiel] = (await awaited([
    () => plain.call('echo', 1),
    () => guarded.call('echo', 1),
    nothing,
    () => policy.execute(nothing),
  ])) as [number, number, number, number];
  return { closedOverheadNs: within - without, cockatielNs: cockatiel - bare };
}

async function tenNodes(): Promise<Mesh[]> {
  const first = await createMesh({ mode: 'cluster', name: 'breaker-bench' });
  const bootstrap = first.status().addresses;
  const others = Array.from({ length: nodes - 1 }, () =>
    createMesh({ mode: 'cluster', name: 'breaker-bench', bootstrap }),
  );
  return [first, ...(await Promise.all(others))];
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`30 s have passed, and not: ${what}`);
    await pause(2);
  }
}

const agent = 'inference';

/** From the failure that decides it to the last node that refuses. */
async function openEverywhere(meshes: readonly Mesh[], fail: (fails: boolean) => void): Promise<number> {
  const breakers = meshes.map((mesh) => mesh.infrastructure.circuitBreaker({ agent, id: 'open', method: 'open' }));
  const times: number[] = [];
  fail(true);
  for (let round = 0; round < rounds; round++) {
    const failAt = async (index: number): Promise<void> => {
      await meshes[index % meshes.length]?.call(agent, '', { method: 'open' }).catch(() => undefined);
    };
    // Four failures of the five that open it, at three nodes; then the fifth, at a fourth.
    const failuresSeen = (count: number) => (): boolean =>
      breakers.every((breaker) => breaker.status().agents[0]?.counted.failures === count);
    for (const index of [round, round, round + 1, round + 2]) await failAt(index);
    await until(failuresSeen(4), 'all nodes count four failures');
    const last = Promise.withResolvers<number>();
    const waiting = new Set(breakers);
    const stops = breakers.map((breaker) =>
      breaker.onChange(() => {
        waiting.delete(breaker);
        if (waiting.size === 0) last.resolve(performance.now());
      }),
    );
    await failAt(round + 3);
    const decided = performance.now();
    times.push(Math.max(0, (await last.promise) - decided));
    for (const stop of stops) stop();
    breakers[round % breakers.length]?.reset();
    await until(() => breakers.every((breaker) => breaker.state() === 'closed'), 'all nodes have closed it');
    await until(failuresSeen(0), 'all nodes count from zero again');
  }
  for (const breaker of breakers) breaker[Symbol.dispose]();
  return quantile(times, 0.5) as number;
}

/** All nodes call all the time; the probe takes longer than two of the turns in which they may probe. */
async function probesDuringHalfOpen(meshes: readonly Mesh[], handled: () => number, fail: (fails: boolean) => void) {
  const options = { agent, id: 'probe', method: 'slow', recoveryTimeMs: 1_000 };
  const breakers = meshes.map((mesh) => mesh.infrastructure.circuitBreaker(options));
  fail(true);
  let calling = true;
  const callers = meshes.map(async (mesh) => {
    while (calling) {
      await mesh.call(agent, '', { method: 'slow' }).catch(() => undefined);
      await pause(5);
    }
  });
  await until(() => breakers.every((breaker) => breaker.state() === 'open'), 'all nodes have opened it');
  // Calls that were under way have ended by then.
  await pause(300);
  fail(false);
  const before = handled();
  let atClosing: number | undefined;
  const stop = breakers.map((breaker) =>
    breaker.onChange(({ state }) => {
      if (state === 'closed') atClosing ??= handled() - before;
    }),
  );
  await until(() => atClosing !== undefined, 'a probe has closed it');
  calling = false;
  await Promise.all(callers);
  for (const end of stop) end();
  return atClosing as number;
}

const { closedOverheadNs, cockatielNs } = await overheads();

const meshes = await tenNodes();
let fails = false;
let handled = 0;
const setFails = (value: boolean): void => {
  fails = value;
};
await meshes[0]?.registry.register(
  agent,
  {
    open: () => {
      throw new Error('out of order');
    },
    slow: async () => {
      handled += 1;
      if (fails) throw new Error('out of order');
      await pause(1_200);
    },
  },
  { capabilities: ['infer'] },
);
await until(() => meshes.every((mesh) => mesh.registry.lookup(agent) !== undefined), 'all nodes know the agent');
const openEverywhereP50Ms = await openEverywhere(meshes, setFails);
const probes = await probesDuringHalfOpen(meshes, () => handled, setFails);
await Promise.all(meshes.map((mesh) => mesh.stop()));

report(
  `breaker: closed, beside cockatiel; ${nodes} nodes open and probe`,
  { closedOverheadNs, cockatielNs, openEverywhereP50Ms, probesDuringHalfOpen: probes, nodes },
  json,
);
