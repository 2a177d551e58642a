/** One machine with barriers, told what happens line by line; time stands still until it is moved. */
import { verify as verifySignature } from 'node:crypto';
import { seededRng } from '../../../../src/clock.ts';
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { publicKeyFromNodeId, verifyKeyFromPublicKey } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import type { BarrierOptions } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import { arrivalBytes } from '../../../../src/protocols/coordination/barrier/commands.ts';
import { BarrierReducer, type VerifySignature } from '../../../../src/protocols/coordination/barrier/reducer.ts';
import { termsFromOptions } from '../../../../src/protocols/coordination/barrier/terms.ts';
import { CoordinationMachine, tickCommand } from '../../../../src/protocols/coordination/machine/machine.ts';

export const verify: VerifySignature = (node, bytes, signature) => {
  const raw = publicKeyFromNodeId(node);
  return raw !== undefined && verifySignature(null, bytes, verifyKeyFromPublicKey(raw), signature);
};

export const identityOf = (n: number): Identity => createIdentity(seededRng(7_000 + n).bytes(32));
const nonce = new Uint8Array(16).fill(7);

export type Reply = { readonly [key: string]: unknown };

export class Table {
  readonly machine = new CoordinationMachine([new BarrierReducer(verify)]);
  readonly events: unknown[] = [];
  time = 1_000_000;
  #seq = 0;

  /** The answer as the client reads it: the value, or `{ code, … }`. */
  submit(client: NodeId, command: { readonly kind: string; readonly [key: string]: unknown }): Reply {
    return this.apply(client, encodePayload(command, 65_536));
  }

  apply(client: NodeId, command: Uint8Array): Reply {
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.time, client, validators: [client] };
    const answer = read(this.machine.apply(command, context));
    for (const { payload } of this.machine.takeEvents()) {
      const decoded = decodePayload(payload);
      if (decoded.ok) this.events.push(decoded.value);
    }
    return answer;
  }

  query(query: { readonly kind: string; readonly [key: string]: unknown }): Reply {
    return read(this.machine.query(encodePayload(query, 65_536)));
  }

  /** Time passes, and somebody makes that known. */
  pass(ms: number): void {
    this.time += ms;
    this.apply(nobody, tickCommand);
  }

  open(options: Partial<BarrierOptions> & { readonly id?: string }, client: NodeId = nobody): number {
    const id = options.id ?? 'b';
    const reply = this.submit(client, { kind: 'barrier.open', id, terms: termsFromOptions({ ...options, id }), nonce });
    if (typeof reply['epoch'] !== 'number') throw new Error(`not opened: ${JSON.stringify(reply)}`);
    return reply['epoch'];
  }
}

export const nobody = identityOf(0).id;

/** Speaks to one barrier in the name of nodes. */
export class At {
  readonly #table: Table;
  readonly #epoch: number;
  generation = 1;
  attempt = 1;

  constructor(table: Table, epoch: number) {
    this.#table = table;
    this.#epoch = epoch;
  }

  get ref() {
    return { id: 'b', epoch: this.#epoch, generation: this.generation };
  }

  arrive(node: NodeId, as: string, { zone = 'z', attempt = this.attempt } = {}): Reply {
    return this.#table.submit(node, { kind: 'barrier.arrive', at: this.ref, as, zone, attempt });
  }

  renew(node: NodeId, as: string, lost: readonly string[] = []): Reply {
    return this.#table.submit(node, { kind: 'barrier.renew', at: this.ref, as, attempt: this.attempt, lost });
  }

  report(node: NodeId, ...lost: string[]): Reply {
    return this.#table.submit(node, { kind: 'barrier.report', at: this.ref, lost });
  }

  withdraw(node: NodeId, as: string, attempt = this.attempt): Reply {
    return this.#table.submit(node, { kind: 'barrier.withdraw', at: this.ref, as, attempt });
  }

  relay(
    client: NodeId,
    zone: string,
    arrivals: readonly { node: NodeId; as: string; attempt: number; signature: Uint8Array }[],
  ): Reply {
    return this.#table.submit(client, { kind: 'barrier.relay', at: this.ref, zone, arrivals });
  }

  /** An arrival as its node signs it for an aggregator. */
  signed(by: Identity, as: string, zone: string, attempt = this.attempt) {
    const signature = by.sign(arrivalBytes({ at: this.ref, nonce, zone, as, attempt }));
    return { node: by.id, as, attempt, signature };
  }

  outcome(): Reply {
    return this.#table.query({ kind: 'barrier.outcome', at: this.ref });
  }

  status(): Reply {
    return this.#table.query({ kind: 'barrier.status', id: 'b' });
  }
}

function read(bytes: Uint8Array): Reply {
  const decoded = decodePayload(bytes);
  if (!decoded.ok || !Array.isArray(decoded.value)) throw new Error('no answer');
  const [first, data] = decoded.value as [unknown, Reply?];
  if (decoded.value.length === 1) return (first ?? {}) as Reply;
  return { code: first, ...data };
}
