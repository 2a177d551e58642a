/** What the benchmark `pbft` asks of a group of ours, from a node that is no validator. */
import { createMesh, type Mesh } from '../../src/index.ts';
import { ReplicaGroup } from './group.ts';

export class Load {
  readonly #group: ReplicaGroup;
  readonly #client: Mesh;

  private constructor(group: ReplicaGroup, client: Mesh) {
    this.#group = group;
    this.#client = client;
  }

  static async start(parent: string, replicas: number, f: number, profileTo?: string): Promise<Load> {
    const group = await ReplicaGroup.start(parent, replicas, f, profileTo);
    try {
      const client = await createMesh({ mode: 'cluster', name: group.meshName, bootstrap: group.addresses });
      const load = new Load(group, client);
      await group.settled(client);
      return load;
    } catch (error) {
      await group.stop();
      throw error;
    }
  }

  /** Milliseconds of each command, one after the other. */
  async lone(count: number): Promise<number[]> {
    const counter = this.#client.coordination.counter('bench');
    const samples: number[] = [];
    for (let command = 0; command < count; command++) {
      const begin = performance.now();
      await counter.add(1);
      samples.push(performance.now() - begin);
    }
    return samples;
  }

  /** Commands per second of so many callers in this process, each with one under way. */
  async perSecond(callers: number, seconds: number): Promise<number> {
    const counter = this.#client.coordination.counter('bench');
    const begin = performance.now();
    let done = 0;
    const call = async (): Promise<void> => {
      do {
        await counter.add(1);
        done++;
      } while (performance.now() - begin < seconds * 1e3);
    };
    await Promise.all(Array.from({ length: callers }, call));
    return done / ((performance.now() - begin) / 1e3);
  }

  /**
   * Kills the primary while one writer writes; gives the milliseconds until the first command that began after that was
   * acknowledged, once the killed replica is back and lacks nothing.
   */
  async killPrimary(): Promise<number> {
    const primary = await this.#group.settled(this.#client);
    const counter = this.#client.coordination.counter('bench');
    let killedAt = Number.POSITIVE_INFINITY;
    const timer = setTimeout(() => {
      killedAt = this.#group.kill(primary);
    }, 300);
    try {
      for (;;) {
        const began = performance.now();
        await counter.add(1);
        if (began < killedAt) continue;
        const elapsed = performance.now() - killedAt;
        await this.#group.restart(primary);
        await this.#group.settled(this.#client);
        return elapsed;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async stop(): Promise<void> {
    await this.#client.stop();
    await this.#group.stop();
  }
}
