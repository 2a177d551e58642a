/** A group of validators and clients over the simulated network: the real driver, links and wire, virtual time, a disk in memory. */
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import type { SimulatedNetwork } from '../../../../src/p2p/simulated/network.ts';
import { SimulatedWorld } from '../../../../src/p2p/simulated/world.ts';
import type { GroupEvent, GroupOptions } from '../../../../src/protocols/coordination/group/group-ordering.ts';
import { GroupOrdering } from '../../../../src/protocols/coordination/group/group-ordering.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { AnyReducer } from '../../../../src/protocols/coordination/machine/reducer.ts';
import { SignatureVerifier } from '../../../../src/protocols/pbft/driver/verifier.ts';
import { openLog, type WriteAheadLog } from '../../../../src/protocols/pbft/driver/write-ahead-log.ts';
import { MemoryFiles } from './memory-files.ts';

export interface GroupNode {
  readonly id: NodeId;
  readonly identity: Identity;
  readonly network: SimulatedNetwork;
  readonly ordering: GroupOrdering;
  readonly events: GroupEvent[];
  readonly misbehaved: string[];
  /** Survives the process. */
  readonly disk: MemoryFiles;
}

export interface GroupWorldOptions {
  readonly seed: number;
  readonly validators?: number;
  readonly f?: number;
  readonly reducers: () => readonly AnyReducer[];
  readonly trustChanges?: boolean;
}

export class GroupWorld {
  readonly world: SimulatedWorld;
  readonly nodes: GroupNode[] = [];
  readonly founders: readonly NodeId[];
  readonly #options: GroupWorldOptions;
  readonly #identities: Identity[];

  constructor(options: GroupWorldOptions) {
    this.#options = options;
    this.world = new SimulatedWorld({ seed: options.seed });
    this.#identities = Array.from({ length: options.validators ?? 4 }, (_, index) =>
      createIdentity(new Uint8Array(32).fill(index + 1)),
    );
    this.founders = this.#identities.map(({ id }) => id);
  }

  /** Starts all founders. */
  async found(): Promise<readonly GroupNode[]> {
    for (const identity of this.#identities) await this.start(identity, { founder: true });
    return this.nodes;
  }

  /** A node that is told nothing and learns the group from its peers. */
  join(number: number, options: Partial<GroupOptions> = {}): Promise<GroupNode> {
    return this.start(createIdentity(new Uint8Array(32).fill(100 + number)), { options });
  }

  /** Starts a node, again with the disk it had. */
  async start(
    identity: Identity,
    { founder = false, options = {} as Partial<GroupOptions>, disk = new MemoryFiles() } = {},
  ): Promise<GroupNode> {
    const network = this.world.network(identity, {});
    const events: GroupEvent[] = [];
    const misbehaved: string[] = [];
    let remembered: Uint8Array | undefined;
    const founders = { validators: this.founders, f: this.#options.f ?? 1 };
    const ordering = new GroupOrdering({
      identity,
      meshName: 'test',
      network,
      clock: network.clock,
      ensureConnected: async (peer) => {
        const address = this.#addressOf(peer);
        if (!network.isConnected(peer)) await network.connect(address, { timeoutMs: 5_000 });
      },
      makeMachine: () => new CoordinationMachine(this.#options.reducers()),
      openLog: ({ id }): Promise<WriteAheadLog> => openLog(disk, 'memory', id, { reserveBytes: 4_096 }),
      validatedBefore: async () => (await disk.read('pbft.log')) !== undefined,
      verifier: new SignatureVerifier({ pool: false }),
      defer: queueMicrotask,
      memory: {
        load: async () => remembered,
        save: async (bytes) => {
          remembered = bytes;
        },
      },
      options: {
        founders: founder ? founders : undefined,
        pinned: undefined,
        timeoutMs: 10_000,
        trustChanges: this.#options.trustChanges ?? false,
        ...options,
      },
      onMisbehaviour: (peer, reason) => void misbehaved.push(`${peer} ${reason}`),
      onListenerError: (error) => {
        throw error;
      },
      log: () => undefined,
      onEvent: (event) => void events.push(event),
    });
    await this.world.settled(network.start());
    const node = { id: identity.id, identity, network, ordering, events, misbehaved, disk };
    this.nodes.push(node);
    for (const other of this.nodes) {
      if (other.network.process.state !== 'running' || other === node) continue;
      await this.world.settled(network.connect(this.#addressOf(other.id), { timeoutMs: 5_000 }));
    }
    await this.world.settled(ordering.start());
    return node;
  }

  #addressOf(peer: NodeId): string {
    const known = this.nodes.findLast(({ id }) => id === peer);
    return known?.network.addresses()[0] ?? `/ip4/127.0.0.1/tcp/1/p2p/${peer}`;
  }
}
