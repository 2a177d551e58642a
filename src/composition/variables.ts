/** Variables of a mesh: over the entries that live nodes share, the agents they affect, and what the validators have agreed on. */
import type { HybridClock } from '../hlc.ts';
import type { NodeId } from '../node-id.ts';
import type { Coordination } from '../protocols/coordination/coordination.ts';
import type { BaseMessaging } from '../protocols/messaging/base.ts';
import type { Registry } from '../protocols/registry/registry.ts';
import type { SharedEntries } from '../protocols/sharing/shared-entries.ts';
import { AgentAudiences } from '../protocols/variables/affected/agent-audiences.ts';
import { MapAgreements } from '../protocols/variables/agreed/map-agreements.ts';
import { MeshVariables } from '../protocols/variables/mesh-variables.ts';
import type { Assembly } from './parts.ts';

export interface VariablesParts {
  readonly self: NodeId;
  /** The store `variables`. */
  readonly entries: SharedEntries;
  readonly hlc: HybridClock;
  readonly registry: Pick<Registry<unknown>, 'query' | 'watch'>;
  readonly messaging: BaseMessaging;
  readonly coordination: Coordination;
}

export function variablesOver<Custom>(
  { options, clock, rng, events, onError }: Assembly<Custom>,
  { self, entries, hlc, registry, messaging, coordination }: VariablesParts,
): { readonly variables: MeshVariables; stop(): void } {
  const agreements = new MapAgreements({ coordination, clock, hlc, onError });
  const variables = new MeshVariables({
    entries,
    hlc,
    clock,
    zone: options.zone,
    audience: new AgentAudiences({ self, registry, messaging, clock, rng, stamp: () => hlc.now(), onError }),
    agreements,
    onError,
    onConflict: (name, error) => {
      options.logger.warn(error.message, { variable: name, code: error.code });
      events.emit('definitionConflict', { variable: name, error });
    },
  });
  return {
    variables,
    stop() {
      variables.stop();
      agreements.stop();
    },
  };
}
