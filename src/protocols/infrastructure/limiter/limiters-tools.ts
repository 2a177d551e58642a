/** What rate limits are made with. */
import type { NodeId } from '../../../node-id.ts';
import type { Quotas } from '../../coordination/quotas/quotas.ts';
import type { InfrastructureTools } from '../tools.ts';

export interface LimitersTools extends InfrastructureTools {
  /** For `strict`; undefined where the mesh has no coordination. */
  readonly quotas: Quotas | undefined;
  /** A resource as the member announces it, for `weightedByCapacity`. */
  readonly capacityOf: (node: NodeId, name: string) => number | undefined;
}
