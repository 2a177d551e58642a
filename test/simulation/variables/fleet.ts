/** Variables of many nodes in virtual time. */
import { HybridClock } from '../../../src/hlc.ts';
import { MeshVariables, type MeshVariablesOptions } from '../../../src/protocols/variables/mesh-variables.ts';
import { type SharedNode, SharedWorld, type SharedWorldOptions } from '../sharing/shared-world.ts';

export interface FleetNode {
  readonly shared: SharedNode;
  readonly variables: MeshVariables;
  readonly hlc: HybridClock;
  /** Names of variables whose definition an earlier one of another node contradicts, as they were told. */
  readonly conflicts: string[];
  readonly errors: unknown[];
}

export class Fleet {
  readonly world: SharedWorld;
  readonly nodes: FleetNode[] = [];

  constructor(options: SharedWorldOptions) {
    this.world = new SharedWorld(options);
  }

  join(zone = 'default', options: Partial<MeshVariablesOptions> = {}): FleetNode {
    const shared = this.world.join(zone);
    const hlc = new HybridClock(shared.clock.wallNow);
    const conflicts: string[] = [];
    const errors: unknown[] = [];
    const variables = new MeshVariables({
      entries: shared,
      hlc,
      clock: shared.clock,
      zone,
      audience: undefined,
      agreements: undefined,
      onError: (error) => errors.push(error),
      onConflict: (name) => conflicts.push(name),
      ...options,
    });
    const node = { shared, variables, hlc, conflicts, errors };
    this.nodes.push(node);
    return node;
  }

  get live(): readonly FleetNode[] {
    return this.nodes.filter(({ shared }) => shared.alive);
  }

  run(ms: number): Promise<void> {
    return this.world.time.run(ms);
  }
}
