/** A node in a process of its own for tests: says what it sees, does what it is told. */
import { createMesh } from '../../src/mesh.ts';
import type { MeshOptions } from '../../src/options.ts';

interface Setup {
  readonly options: MeshOptions;
  /** Agents that answer with their own name; one that begins with `silent` never answers. */
  readonly agents: readonly string[];
}

interface Command {
  readonly number: number;
  readonly target: string;
  readonly timeoutMs: number;
}

const say = (message: Record<string, unknown>): void => void process.send?.({ at: Date.now(), ...message });
const silent = (): void => undefined;
const error = (message: string): void => say({ type: 'error', message });

const { options, agents } = JSON.parse(process.argv[2] ?? '') as Setup;
try {
  const mesh = await createMesh({
    mode: 'cluster',
    ...options,
    logger: { debug: silent, info: silent, warn: silent, error },
  });
  for (const { id, state } of mesh.membership.members()) say({ type: 'member', id, state });
  mesh.on('member', ({ member: { id, state } }) => say({ type: 'member', id, state }));
  mesh.on('refused', ({ reason }) => say({ type: 'refused', reason }));
  for (const agent of agents) {
    const handler = agent.startsWith('silent') ? () => new Promise(() => undefined) : () => agent;
    await mesh.registry.register(agent, handler, { capabilities: agent.startsWith('silent') ? [] : ['work'] });
  }
  process.on('message', async ({ number, target, timeoutMs }: Command) => {
    const started = Date.now();
    try {
      const to = target === '*' ? { capabilities: 'work' } : target;
      const value = await mesh.call(to, null, { timeoutMs });
      say({ type: 'called', number, value, ms: Date.now() - started });
    } catch (error) {
      const { code, data } = error as { code: string; data: { reason?: string } };
      say({ type: 'called', number, code, reason: data?.reason, ms: Date.now() - started });
    }
  });
  process.on('disconnect', () => process.exit());
  say({ type: 'ready', id: mesh.id, address: mesh.status().addresses[0] });
  for await (const event of mesh.registry.watch()) say({ type: event.type, agent: event.record.id });
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  say({ type: 'failed', code, message });
  process.disconnect();
}
