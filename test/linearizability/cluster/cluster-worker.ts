/**
 * A node in a process of its own: does what its parent tells it, and answers how it went. It may be killed or stopped at any time, so it
 * keeps no record: the parent does.
 *
 * Two things that no public interface offers are taken from inside: connections are cut by the network's own bans, and the owner of a name is
 * asked of the validators rather than of the local view.
 */
import { createMesh, type Mesh } from '../../../src/mesh.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { Libp2pNetwork } from '../../../src/p2p/libp2p/network.ts';
import type { Lock } from '../../../src/protocols/coordination/grants/grants.ts';
import { MachineClient } from '../../../src/protocols/coordination/machine/machine-client.ts';
import { NameClaims } from '../../../src/protocols/coordination/names/name-claims.ts';
import type { Registration } from '../../../src/protocols/registry/registry.ts';
import type { Answer, Request, Results, Said, Setup, Task } from './protocol.ts';

const say = (said: Said): void => void process.send?.(said);

const machineTime = Date.now;
let offsetMs = 0;
Date.now = () => machineTime() + offsetMs;

let network: Libp2pNetwork | undefined;
const startNetwork = Libp2pNetwork.prototype.start;
Libp2pNetwork.prototype.start = function start(this: Libp2pNetwork): Promise<void> {
  network = this;
  return startNetwork.call(this);
};

let client: MachineClient | undefined;
const query = MachineClient.prototype.query;
MachineClient.prototype.query = function remembered(this: MachineClient, ...rest: Parameters<typeof query>) {
  client = this;
  return query.apply(this, rest);
};

/** What the validators answered to the last release of a name; `unregister` does not tell. */
const releases = new Map<string, boolean>();
const releaseName = NameClaims.prototype.release;
NameClaims.prototype.release = async function release(this: NameClaims, ...rest: Parameters<typeof releaseName>) {
  const [id] = rest;
  releases.delete(id);
  const released = await releaseName.apply(this, rest);
  releases.set(id, released);
  return released;
};

/** Leases are judged a tenth early; validators' clocks may differ by this much here (`faults.ts` keeps to it), and some for rounding. */
const clockDifferenceMs = 170;

class Worker {
  readonly #mesh: Mesh;
  readonly #locks = new Map<string, { readonly lock: Lock; readonly leaseMs: number }>();
  readonly #registrations = new Map<string, Registration>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  async do(task: Task): Promise<Results[Task['do']]> {
    switch (task.do) {
      case 'get':
        return (await this.#map.get(task.key)) ?? null;
      case 'set':
        return this.#map.set(task.key, task.value);
      case 'cas': {
        const swap = await this.#map.compareAndSet(task.key, task.version, task.value);
        return swap.ok ? swap : { ...swap, value: swap.value ?? null };
      }
      case 'health':
        return (await this.#mesh.coordination.validators.health()).map(({ health }) => health?.executed ?? null);
      case 'cut':
        for (const peer of task.peers) network?.ban(peer as NodeId, Number.POSITIVE_INFINITY, 'cut by a test');
        return null;
      case 'mend':
        for (const peer of task.peers) network?.ban(peer as NodeId, 0, 'mended by a test');
        return null;
      case 'clock':
        offsetMs = task.offsetMs;
        return null;
      case 'claim':
      case 'unclaim':
      case 'owner':
        return this.#onName(task);
      default:
        return this.#onLock(task);
    }
  }

  get #map() {
    return this.#mesh.coordination.map<string>('registers');
  }

  async #onLock(
    task: Task & { do: 'lock' | 'held' | 'unlock' | 'inspect' },
  ): Promise<Results['lock' | 'held' | 'inspect']> {
    if (task.do === 'inspect') {
      const holder = (await this.#mesh.coordination.inspect(task.name))?.holders[0];
      return holder === undefined ? null : { node: holder.node, token: holder.token };
    }
    if (task.do === 'lock') {
      const { name, leaseMs, wait, timeoutMs } = task;
      const lock = await this.#mesh.coordination.lock(name, { leaseMs, wait, timeoutMs });
      this.#locks.set(`${name} ${lock.token}`, { lock, leaseMs });
      return { token: lock.token };
    }
    const held = this.#locks.get(`${task.name} ${task.token}`);
    if (held === undefined) return false;
    if (task.do === 'held') return held.lock.held;
    this.#locks.delete(`${task.name} ${task.token}`);
    const startedAt = performance.now();
    const wasHeld = held.lock.held;
    await held.lock.release();
    return wasHeld && performance.now() - startedAt < held.leaseMs * 0.1 - clockDifferenceMs;
  }

  async #onName(task: Task & { do: 'claim' | 'unclaim' | 'owner' }): Promise<Results['claim' | 'unclaim' | 'owner']> {
    const { name } = task;
    if (task.do === 'owner') {
      if (client === undefined) await this.#map.get('any');
      const answer = await client!.query({ kind: 'names.owner', id: name });
      if (!answer.ok) throw new Error(`The owner of ${name} is refused: ${answer.code}`);
      return (answer.value as Results['owner'] | undefined) ?? null;
    }
    if (task.do === 'claim') {
      const registration = await this.#mesh.registry.register(
        name,
        () => null,
        { capabilities: [] },
        { consistency: 'strong' },
      );
      const token = registration.record.strong?.token;
      if (token === undefined) throw new Error(`${name} was registered without a token`);
      this.#registrations.set(name, registration);
      registration.onLost(() => say({ type: 'lost', name, token }));
      return { token };
    }
    const registration = this.#registrations.get(name);
    if (registration === undefined || !registration.active) return false;
    this.#registrations.delete(name);
    releases.delete(name);
    await registration.unregister();
    return releases.get(name) === true;
  }
}

async function answerTo(worker: Worker, task: Task): Promise<Answer<unknown>> {
  try {
    return { ok: true, value: await worker.do(task) };
  } catch (error) {
    const { code = 'UNEXPECTED', message, data = {} } = error as Error & { code?: string; data?: object };
    return { ok: false, code, message, data: data as Record<string, unknown> };
  }
}

try {
  const mesh = await createMesh(JSON.parse(process.argv[2] ?? '') as Setup);
  const worker = new Worker(mesh);
  process.on('message', async ({ number, task }: Request) => {
    say({ type: 'answer', number, answer: await answerTo(worker, task) });
  });
  process.on('disconnect', () => process.exit());
  mesh.on('validatorFailed', ({ error }) => say({ type: 'failed', message: error.message }));
  mesh.on('stopped', ({ error }) => say({ type: 'failed', message: `the mesh has stopped: ${error?.message}` }));
  say({ type: 'ready', id: mesh.id, address: mesh.status().addresses[0] as string });
} catch (error) {
  say({ type: 'failed', message: String(error) });
  process.disconnect();
}
