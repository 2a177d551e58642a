/** A process of the `mesh` benchmark: holds several nodes and reports what they see, with the machine's monotonic clock. */
import { createMesh, type Mesh } from '../../src/index.ts';

export type ToHost =
  | { readonly type: 'start'; readonly bootstrap: readonly string[]; readonly agents: number; readonly index: number }
  | { readonly type: 'expect'; readonly nodes: number; readonly agents: number }
  | { readonly type: 'update'; readonly round: number }
  | { readonly type: 'usage' }
  | { readonly type: 'stop' };

export type FromHost =
  | { readonly type: 'started'; readonly calledAt: number; readonly id: string; readonly address: string }
  | { readonly type: 'converged'; readonly at: number }
  | { readonly type: 'updated'; readonly round: number; readonly at: number }
  | { readonly type: 'seen'; readonly round: number; readonly at: readonly number[] }
  | {
      readonly type: 'verdict';
      readonly observer: string;
      readonly accused: string;
      readonly state: string;
      readonly at: number;
    }
  | {
      readonly type: 'usage';
      readonly cpuMs: number;
      readonly rss: number;
      readonly at: number;
      readonly agents: number;
    }
  | { readonly type: 'stopped' };

const meshes: Mesh[] = [];
let expected = { nodes: Number.POSITIVE_INFINITY, agents: Number.POSITIVE_INFINITY };
let convergedSent = false;
let checkPending = false;
const seen = new Map<number, number[]>();

/** Milliseconds on CLOCK_MONOTONIC, which all processes of a machine share. */
const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;
const send = (message: FromHost): void => void process.send?.(message);

/** Looks at most every 5 ms: asking on each of thousands of events would be the load that it measures. */
function checkConverged(): void {
  if (checkPending || convergedSent) return;
  checkPending = true;
  setTimeout(() => {
    checkPending = false;
    reportIfConverged();
  }, 5);
}

function reportIfConverged(): void {
  if (convergedSent || meshes.length === 0) return;
  for (const mesh of meshes) {
    const alive = mesh.membership.members().filter((member) => member.state === 'alive').length;
    if (alive < expected.nodes || mesh.registry.count() < expected.agents) return;
  }
  convergedSent = true;
  send({ type: 'converged', at: machineNow() });
}

async function start(message: Extract<ToHost, { type: 'start' }>): Promise<void> {
  const calledAt = machineNow();
  const mesh = await createMesh({ mode: 'cluster', name: 'bench', bootstrap: message.bootstrap });
  meshes.push(mesh);
  mesh.membership.on('change', ({ member }) => {
    if (member.state === 'unreachable' || member.state === 'removed') {
      send({ type: 'verdict', observer: mesh.id, accused: member.id, state: member.state, at: machineNow() });
    }
    checkConverged();
  });
  const result = await mesh.registry.batch(
    Array.from({ length: message.agents }, (_, agent) => ({
      op: 'register' as const,
      id: `agent-${message.index}-${agent}`,
      handler: () => 'ok',
      metadata: { capabilities: [`skill-${agent % 10}`, 'bench'], capacity: { round: 0 } },
    })),
  );
  if (result.status !== 'complete') throw new Error('an agent could not be registered');
  void watchUpdates(mesh);
  const address = mesh.status().addresses[0];
  if (address === undefined) throw new Error('a started node has no address');
  send({ type: 'started', calledAt, id: mesh.id, address });
  checkConverged();
}

/** Notes when each node sees each round of the one agent that the benchmark changes. */
async function watchUpdates(mesh: Mesh): Promise<void> {
  for await (const event of mesh.registry.watch({ capabilities: 'bench' })) {
    const now = machineNow();
    if (event.type === 'up') checkConverged();
    const round =
      event.type === 'update' && event.record.id === 'agent-0-0' ? event.record.capacity['round'] : undefined;
    if (round === undefined) continue;
    const times = seen.get(round) ?? [];
    times.push(now);
    seen.set(round, times);
    if (times.length === meshes.length) send({ type: 'seen', round, at: times });
  }
}

async function update(round: number): Promise<void> {
  const mesh = meshes[0];
  if (mesh === undefined) throw new Error('no node here to update');
  const operations = [{ op: 'update' as const, id: 'agent-0-0', changes: { capacity: { round } } }];
  const at = machineNow();
  send({ type: 'updated', round, at });
  const result = await mesh.registry.batch(operations);
  if (result.status !== 'complete') throw new Error('the update failed');
}

process.on('message', (message: ToHost) => {
  const run = async (): Promise<void> => {
    if (message.type === 'start') await start(message);
    else if (message.type === 'expect') {
      expected = message;
      checkConverged();
    } else if (message.type === 'update') await update(message.round);
    else if (message.type === 'usage') {
      const { user, system } = process.cpuUsage();
      const agents = Math.min(...meshes.map((mesh) => mesh.registry.count()));
      send({ type: 'usage', cpuMs: (user + system) / 1_000, rss: process.memoryUsage.rss(), at: machineNow(), agents });
    } else {
      await Promise.all(meshes.map((mesh) => mesh.stop()));
      send({ type: 'stopped' });
      process.disconnect();
    }
  };
  run().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
