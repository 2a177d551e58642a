/**
 * Honest nodes under attack: a few real ones on loopback, each with an agent, and what must stay true of them whatever
 * somebody else sends.
 */
import { expect } from 'vitest';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import type { NodeId } from '../../src/node-id.ts';
import type { MeshOptions } from '../../src/options.ts';
import { pollUntil } from '../mesh/poll.ts';

/** Exceptions that nobody caught in this process; every node here is honest, so each is a crash. */
const uncaught: unknown[] = [];
for (const type of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(type, (error: unknown) => void uncaught.push(error));
}

export interface HonestNode {
  readonly mesh: Mesh;
  readonly id: NodeId;
  readonly agent: string;
  /** Node and reason of every 'refused' event. */
  readonly refused: { readonly peer: NodeId | undefined; readonly reason: string }[];
  readonly quarantined: NodeId[];
  /** Log lines of level `error`: exceptions that were caught at the last moment, and other things that must not be. */
  readonly errors: string[];
  /** States that members were seen in, as `id state`. */
  readonly seen: Set<string>;
}

export class HonestMesh {
  readonly name: string;
  readonly nodes: HonestNode[] = [];

  private constructor(name: string) {
    this.name = name;
  }

  static async start(name: string, count = 3, options: MeshOptions = {}): Promise<HonestMesh> {
    const honest = new HonestMesh(name);
    for (let n = 0; n < count; n++) await honest.add(options);
    await honest.isWell();
    return honest;
  }

  /** Nodes are added one by one, each with options of its own. */
  static empty(name: string): HonestMesh {
    return new HonestMesh(name);
  }

  async add(options: MeshOptions = {}): Promise<HonestNode> {
    const refused: HonestNode['refused'] = [];
    const quarantined: NodeId[] = [];
    const errors: string[] = [];
    const seen = new Set<string>();
    const silent = (): void => undefined;
    const mesh = await createMesh({
      mode: 'cluster',
      name: this.name,
      bootstrap: this.nodes.flatMap((node) => node.mesh.status().addresses),
      logger: {
        debug: silent,
        info: silent,
        warn: silent,
        error: (message, data) => void errors.push(`${message} ${JSON.stringify(data)}`),
      },
      ...options,
    });
    mesh.on('refused', (event) => void refused.push(event));
    mesh.on('quarantined', ({ node }) => void quarantined.push(node));
    mesh.on('member', ({ member }) => void seen.add(`${member.id} ${member.state}`));
    const agent = `worker-${this.nodes.length}`;
    await mesh.registry.register(agent, (message: unknown) => ({ agent, message }), { capabilities: ['work'] });
    const node = { mesh, id: mesh.id, agent, refused, quarantined, errors, seen };
    this.nodes.push(node);
    return node;
  }

  get addresses(): string[] {
    return this.nodes.map(({ mesh }) => mesh.status().addresses[0] as string);
  }

  node(index: number): HonestNode {
    return this.nodes[index] as HonestNode;
  }

  /**
   * Every honest node sees every honest agent and member, and every pair calls each other. Waits until it is so, since
   * suspicion and repair take a moment; it must become so while the attacker is still there.
   */
  async isWell(): Promise<void> {
    for (const reader of this.nodes) {
      for (const { id, agent } of this.nodes) {
        await pollUntil(() => reader.mesh.membership.get(id)?.state === 'alive');
        await pollUntil(() => reader.mesh.registry.lookup(agent)?.node === id);
      }
    }
    const calls = this.nodes.flatMap(({ mesh }) =>
      this.nodes.map(async ({ agent }) => {
        expect(await mesh.call(agent, 'ping', { timeoutMs: 20_000 })).toEqual({ agent, message: 'ping' });
      }),
    );
    await Promise.all(calls);
    this.hasNotCrashed();
    this.nobodyWasBlamed();
  }

  hasNotCrashed(): void {
    expect(uncaught).toEqual([]);
    for (const { errors } of this.nodes) expect(errors).toEqual([]);
  }

  /** An attacker must not be able to set honest nodes against each other either. */
  nobodyWasBlamed(): void {
    const friends = new Set<NodeId | undefined>(this.nodes.map(({ id }) => id));
    for (const { refused } of this.nodes) expect(refused.filter(({ peer }) => friends.has(peer))).toEqual([]);
  }

  /** No honest node was ever taken for dead by another. */
  nobodyWasCondemned(): void {
    for (const { seen } of this.nodes) {
      for (const { id } of this.nodes) {
        for (const state of ['unreachable', 'removed', 'left']) expect(seen).not.toContain(`${id} ${state}`);
      }
    }
  }

  /** How often a node refused something of that peer. */
  refusals(index: number, peer: NodeId, about = /./): number {
    return this.node(index).refused.filter((event) => event.peer === peer && about.test(event.reason)).length;
  }

  /** A counter of `mesh.status().refused`, by pattern. */
  counted(index: number, reason: RegExp): number {
    const entries = Object.entries(this.node(index).mesh.status().refused);
    return entries.filter(([name]) => reason.test(name)).reduce((sum, [, count]) => sum + count, 0);
  }

  isConnected(index: number, peer: NodeId): boolean {
    return this.node(index)
      .mesh.status()
      .peers.some(({ id }) => id === peer);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ mesh }) => mesh.stop()));
    this.hasNotCrashed();
  }
}
