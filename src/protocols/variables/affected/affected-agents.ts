/** Whom a variable affects, and which of the nodes tells each of them. Pure. */
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import { maxMethodBytes } from '../../messaging/limits.ts';
import type { Criteria } from '../../registry/records.ts';
import type { AffectedAgents } from '../variables.ts';

export const defaultMethod = 'variableChanged';

export interface Affected {
  /** What the registry is asked. */
  readonly criteria: Criteria;
  /** The agents, when they were named one by one. */
  readonly ids: readonly AgentId[];
  readonly method: string;
}

/**
 * The three ways to say it as one. A list of ids, the empty one as well, means these ids; an object with `agents` may name a method; all else is criteria, which the registry
 * checks. Throws `INVALID_ARGUMENT`.
 */
export function affectedAgents(affects: AffectedAgents): Affected {
  if (!hasAgents(affects)) return { ...asked(affects), method: defaultMethod };
  const { agents, method = defaultMethod } = affects;
  if (typeof method !== 'string' || method === '' || Buffer.byteLength(method) > maxMethodBytes) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `The method that affected agents are called with must have 1 to ${maxMethodBytes} bytes.`,
      { method },
    );
  }
  return { ...asked(agents), method };
}

type WithMethod = Extract<AffectedAgents, { readonly agents: unknown }>;

const hasAgents = (affects: AffectedAgents): affects is WithMethod =>
  typeof affects === 'object' && affects !== null && !Array.isArray(affects) && Object.hasOwn(affects, 'agents');

const isIds = (list: readonly unknown[]): list is readonly string[] => list.every((id) => typeof id === 'string');

function asked(agents: readonly string[] | Criteria): Pick<Affected, 'criteria' | 'ids'> {
  if (!Array.isArray(agents) || !isIds(agents)) return { criteria: agents as Criteria, ids: [] };
  const ids = [...new Set(agents)];
  return { criteria: { id: ids }, ids };
}

/**
 * The node that tells an agent: its own, if that defines the variable, since nothing comes between the two; otherwise the definer with the smallest id. Nodes that know the same definers
 * say the same; while they do not, an agent may be told by two, and is told again by the one that remains.
 */
export function tellerOf(home: NodeId, definers: readonly NodeId[]): NodeId | undefined {
  if (definers.includes(home)) return home;
  return definers.reduce<NodeId | undefined>(
    (least, id) => (least === undefined || id < least ? id : least),
    undefined,
  );
}
