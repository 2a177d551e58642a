/** Reads of the ordered state about proposals. All reject as `Ordering.query`. */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { OrderingOptions } from '../ordering.ts';
import type { CoordinationTools } from '../tools.ts';
import { maxOpen, type ProposalRecord, pageSchema, readRecord } from './commands.ts';
import { refusal } from './refusals.ts';

/** Undefined when there is none of that id, or not any more. */
export async function fetchRecord(
  tools: CoordinationTools,
  id: string,
  options?: OrderingOptions,
): Promise<ProposalRecord | undefined> {
  const answer = await tools.client.query({ kind: 'proposals.get', id }, options);
  if (answer.ok) return recordIn(answer.value);
  if (answer.code === 'NOT_FOUND') return undefined;
  throw refusal(answer);
}

function recordIn(value: Value): ProposalRecord {
  const record = readRecord(value);
  if (record !== undefined) return record;
  throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
}

/** Ids of open proposals, oldest first, at most `limit`. */
export async function listOpen(
  tools: CoordinationTools,
  filter: { readonly agent?: AgentId | undefined; readonly node?: NodeId | undefined },
  limit = maxOpen,
  options?: OrderingOptions,
): Promise<string[]> {
  const wanted = {
    ...(filter.agent === undefined ? {} : { agent: filter.agent }),
    ...(filter.node === undefined ? {} : { node: filter.node }),
  };
  const ids: string[] = [];
  let after = 0;
  for (;;) {
    const answer = await tools.client.query({ kind: 'proposals.list', ...wanted, after }, options);
    if (!answer.ok) throw refusal(answer);
    const page = v.safeParse(pageSchema, answer.value);
    if (!page.success) {
      throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
    }
    for (const { id, number } of page.output.proposals) {
      ids.push(id);
      after = number;
    }
    if (ids.length >= limit || !page.output.more) return ids.slice(0, limit);
  }
}
