/** A reducer and the world it sees, for tests that read like minutes of a meeting. */
import { encodeValue } from '../../../../src/codec.ts';
import { type NodeId, nodeIdFromPublicKey } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import {
  CoordinationMachine,
  type MachineEvent,
  tickCommand,
} from '../../../../src/protocols/coordination/machine/machine.ts';
import type { Answer } from '../../../../src/protocols/coordination/machine/reducer.ts';
import { type ProposalRecord, readRecord } from '../../../../src/protocols/coordination/proposals/commands.ts';
import type { DecisionRule } from '../../../../src/protocols/coordination/proposals/proposals.ts';
import { ProposalsReducer } from '../../../../src/protocols/coordination/proposals/reducer.ts';
import type { Value } from '../../../../src/value.ts';

const nodes = new Map<number, NodeId>();

/** Nodes by number. */
export function node(index: number): NodeId {
  const id = nodes.get(index) ?? nodeIdFromPublicKey(new Uint8Array(32).fill(index + 1));
  nodes.set(index, id);
  return id;
}

export interface Opening {
  readonly id?: string;
  /** `ann@0*3/eu`: agent, node, weight, zone; all but the first may be missing (node 0, weight 1, zone `z`). */
  readonly participants: readonly string[];
  readonly proposal?: Value;
  readonly rule?: DecisionRule;
  readonly zones?: readonly string[];
  readonly deadlineMs?: number;
}

export function seat(text: string): { agent: string; node: NodeId; zone: string; weight: number } {
  const [, agent = '', at = '0', weight = '1', zone = 'z'] =
    /^(\w+)(?:@(\d+))?(?:\*(\d+))?(?:\/(\w+))?$/.exec(text) ?? [];
  return { agent, node: node(Number(at)), zone, weight: Number(weight) };
}

export const openCommand = ({ id = 'p', participants, proposal = 'plan', rule, zones, deadlineMs }: Opening) => ({
  kind: 'proposals.open',
  id,
  participants: participants.map(seat),
  proposal: encodeValue(proposal),
  rule: rule ?? 'majority',
  zones: zones ?? [],
  deadlineMs: deadlineMs ?? 1_000,
});

export class Table {
  machine = new CoordinationMachine([new ProposalsReducer()]);
  readonly events: MachineEvent[] = [];
  time = 1_000_000;
  #seq = 0;

  /** `ok …` or the code and reason of a refusal. */
  submit(client: number, command: { readonly kind: string }): string {
    return inWords(this.answer(client, command));
  }

  answer(client: number, command: { readonly kind: string }): Answer {
    return answerIn(this.apply(client, encodePayload(command, 1 << 20)));
  }

  apply(client: number, bytes: Uint8Array): Uint8Array {
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.time, client: node(client), validators: [node(0)] };
    const answer = this.machine.apply(bytes, context);
    this.events.push(...this.machine.takeEvents());
    return answer;
  }

  open(opening: Opening, client = 0): string {
    return this.submit(client, openCommand(opening));
  }

  /** `ann@0 yes`, `bob@1 no`, `cem@2 other plan`: the agent, the node it votes from, and how. */
  vote(text: string, id = 'p'): string {
    const [, agent, from, word = ''] = /^(\w+)@(\d+) (.*)$/.exec(text) ?? [];
    const accept = word !== 'no';
    const value = word === 'yes' || word === 'no' ? {} : { value: encodeValue(word) };
    return this.submit(Number(from), { ...{ kind: 'proposals.vote', id, agent, accept }, ...value });
  }

  /** Time passes, and the validators notice. */
  pass(ms: number): void {
    this.time += ms;
    this.apply(0, tickCommand);
  }

  query(query: { readonly kind: string }): Answer {
    return answerIn(this.machine.query(encodePayload(query, 1 << 20)));
  }

  record(id = 'p'): ProposalRecord | undefined {
    const answer = this.query({ ...{ kind: 'proposals.get', id } });
    return answer.ok ? readRecord(answer.value) : undefined;
  }

  state(id = 'p'): string {
    return this.record(id)?.state ?? 'unknown';
  }

  listed(filter: object = {}): string[] {
    const answer = this.query({ ...{ kind: 'proposals.list', after: 0 }, ...filter });
    if (!answer.ok) throw new Error(answer.code);
    return (answer.value as { proposals: { id: string }[] }).proposals.map(({ id }) => id);
  }
}

export function answerIn(bytes: Uint8Array): Answer {
  const decoded = decodePayload(bytes);
  if (!decoded.ok || !Array.isArray(decoded.value)) throw new Error('no answer');
  const [first, data] = decoded.value as [Value, Record<string, Value>];
  return decoded.value.length === 1 ? { ok: true, value: first } : { ok: false, code: first as 'NOT_FOUND', data };
}

function inWords(answer: Answer): string {
  if (!answer.ok) return [answer.code, answer.data['reason']].filter((part) => part !== undefined).join(' ');
  const { value } = answer;
  return typeof value === 'object' && value !== null && 'state' in value ? String(value.state) : 'ok';
}
