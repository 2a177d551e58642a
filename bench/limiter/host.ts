/** A process of the benchmark `limiter`: some of the nodes, each asked as a Poisson process. */
import { setTimeout as pause } from 'node:timers/promises';
import { seededRng } from '../../src/clock.ts';
import { createMesh, type Mesh } from '../../src/index.ts';

export interface HostConfig {
  readonly bootstrap: readonly string[];
  /** Here, and in all processes. */
  readonly nodes: number;
  readonly total: number;
  readonly id: string;
  readonly requestsPerSecond: number;
  readonly burst: number;
  readonly seed: number;
}

export type ToHost =
  /** Requests per second for each node here, from now on. */
  { readonly type: 'ask'; readonly rates: readonly number[] } | { readonly type: 'report' };

export type FromHost =
  | { readonly type: 'ready' }
  /** By node: when requests passed since the last report, on CLOCK_MONOTONIC. */
  | { readonly type: 'admitted'; readonly times: number[][] };

const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;
const send = (message: FromHost): void => void process.send?.(message);

const { bootstrap, nodes, total, id, requestsPerSecond, burst, seed } = JSON.parse(
  process.argv[2] ?? '{}',
) as HostConfig;
const rng = seededRng(seed);
const meshes: Mesh[] = [];
for (let node = 0; node < nodes; node++) {
  meshes.push(await createMesh({ mode: 'cluster', name: 'bench-limiter', bootstrap }));
}
// The founder of the mesh takes no part in the limit.
for (const mesh of meshes) {
  while (mesh.membership.members().filter(({ state }) => state === 'alive').length < total + 1) await pause(20);
}
const limiters = meshes.map((mesh) => mesh.infrastructure.rateLimiter({ id, requestsPerSecond, burst }));
let times: number[][] = meshes.map(() => []);
let rates: readonly number[] = [];
const due = meshes.map(() => 0);
const gap = (rate: number): number => (-Math.log(1 - rng.float()) * 1_000) / rate;

/** Every millisecond: those that came meanwhile. */
function arrive(): void {
  const now = machineNow();
  for (const [node, rate] of rates.entries()) {
    while ((due[node] as number) <= now) {
      due[node] = (due[node] as number) + gap(rate);
      if (limiters[node]?.tryAcquire().allowed) times[node]?.push(machineNow());
    }
  }
}

process.on('message', (wish: ToHost) => {
  if (wish.type === 'report') {
    send({ type: 'admitted', times });
    times = meshes.map(() => []);
    return;
  }
  rates = wish.rates;
  for (const [node, rate] of rates.entries()) due[node] = machineNow() + gap(rate);
});
process.on('disconnect', () => process.exit(0));
setInterval(arrive, 1);
send({ type: 'ready' });
