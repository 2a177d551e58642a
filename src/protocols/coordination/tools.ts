/** What the handles of coordination (locks, barriers, auctions …) are made with. */
import type { Clock, Rng } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';
import type { MachineClient } from './machine/machine-client.ts';

export interface CoordinationTools {
  readonly self: NodeId;
  readonly zone: string;
  readonly client: MachineClient;
  readonly clock: Clock;
  readonly rng: Rng;
  /** How long anything takes at most that names no deadline, milliseconds. */
  readonly timeoutMs: number;
  /** Where an agent lives, as the registry of this node knows it. */
  locate(agent: AgentId): { readonly node: NodeId; readonly zone: string } | undefined;
  /** Signs in the name of this node. */
  sign(bytes: Uint8Array): Uint8Array;
  /** For what nobody waits for: logs. */
  readonly onError: (error: unknown, where: string) => void;
}
