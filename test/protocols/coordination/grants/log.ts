/** The reducer of grants in its machine, told what happens line by line. */
import { seededRng } from '../../../../src/clock.ts';
import { createIdentity } from '../../../../src/identity.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { GrantReducer } from '../../../../src/protocols/coordination/grants/reducer.ts';
import { CoordinationMachine, tickCommand } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { Value } from '../../../../src/value.ts';

const rng = seededRng(7);
export const [alice, bob, carol] = [1, 2, 3].map(() => createIdentity(rng.bytes(32)).id) as [NodeId, NodeId, NodeId];

/** Ids as handles make them, readable. */
export const idOf = (number: number): string => number.toString(16).padStart(32, '0');

export type Told = readonly [Value] | readonly [string, { readonly [key: string]: Value }];

export class Log {
  readonly machine = new CoordinationMachine([new GrantReducer()]);
  time = 1_000_000;
  #seq = 0;

  submit(client: NodeId, command: Value): Told {
    return this.apply(client, encodePayload(command, 65_536));
  }

  apply(client: NodeId, command: Uint8Array): Told {
    this.#seq += 1;
    const answer = this.machine.apply(command, { seq: this.#seq, time: this.time, client, validators: [] });
    return decoded(answer) as Told;
  }

  /** Time passes, and the log hears of it. */
  pass(ms: number): void {
    this.time += ms;
    this.apply(alice, tickCommand);
  }

  query(query: Value): Value {
    const [value] = decoded(this.machine.query(encodePayload(query, 65_536))) as Told;
    return value;
  }

  events(): Value[] {
    return this.machine.takeEvents().map(({ payload }) => decoded(payload));
  }

  acquire(client: NodeId, id: number, terms: { readonly [key: string]: Value } = {}): Told {
    const basis = { name: 'door', sort: 'lock', permits: 1, count: 1, leaseMs: 10_000, waitMs: 30_000 };
    return this.submit(client, { kind: 'grant.acquire', id: idOf(id), ...basis, ...terms });
  }

  /** Acquires, and gives the token: the test is wrong if it has to wait. */
  take(client: NodeId, id: number, terms: { readonly [key: string]: Value } = {}): number {
    const [standing] = this.acquire(client, id, terms) as [{ state: string; token: number }];
    if (standing.state !== 'granted') throw new Error(`It is ${standing.state}.`);
    return standing.token;
  }

  renew(client: NodeId, id: number, token: number): Told {
    return this.submit(client, { kind: 'grant.renew', id: idOf(id), token });
  }

  release(client: NodeId, id: number, token: number): Told {
    return this.submit(client, { kind: 'grant.release', id: idOf(id), token });
  }

  withdraw(client: NodeId, id: number): Told {
    return this.submit(client, { kind: 'grant.withdraw', id: idOf(id) });
  }

  standing(node: NodeId, id: number): Value {
    return this.query({ kind: 'grant.standing', node, id: idOf(id) });
  }

  inspect(name = 'door'): Value {
    return this.query({ kind: 'grant.inspect', name });
  }
}

function decoded(bytes: Uint8Array): Value {
  const result = decodePayload(bytes);
  if (!result.ok) throw new Error('The machine answered what cannot be read.');
  return result.value;
}
