/** The reducer of auctions in its machine, told what happens line by line. */
import { createHash } from 'node:crypto';
import { seededRng } from '../../../../src/clock.ts';
import { encodeValue } from '../../../../src/codec.ts';
import { createIdentity, type Identity } from '../../../../src/identity.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { AuctionReducer } from '../../../../src/protocols/coordination/auctions/reducer.ts';
import { commitmentOf, sealBid } from '../../../../src/protocols/coordination/auctions/sealing.ts';
import { CoordinationMachine, tickCommand } from '../../../../src/protocols/coordination/machine/machine.ts';
import type { Value } from '../../../../src/value.ts';

const rng = seededRng(7);
const identities = new Map<NodeId, Identity>();
function person(): NodeId {
  const identity = createIdentity(rng.bytes(32));
  identities.set(identity.id, identity);
  return identity.id;
}
export const [alice, bob, carol] = [person(), person(), person()] as [NodeId, NodeId, NodeId];

export type Told = readonly [Value] | readonly [string, { readonly [key: string]: Value }];
type Fields = { readonly [key: string]: Value };

const resource = encodeValue('gpu');
export const sealedTerms = { mechanism: 'sealedBidSecondPrice', resource, reserve: 100, bidMs: 1_000, revealMs: 500 };
export const firstPriceTerms = { ...sealedTerms, mechanism: 'sealedBidFirstPrice' };
export const englishTerms = {
  mechanism: 'english',
  resource,
  reserve: 100,
  startPrice: 50,
  increment: 10,
  bidMs: 1_000,
  quietMs: 300,
  hardEndMs: 2_000,
};
export const dutchTerms = {
  mechanism: 'dutch',
  resource,
  reserve: 100,
  startPrice: 500,
  stepBy: 150,
  stepMs: 100,
};

/** What hides an amount here: the same for each bidder and number, so a test can reveal it. */
export const nonceOf = (agent: string, number: number): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`${agent} ${number}`).digest());

export class Log {
  readonly machine = new CoordinationMachine([new AuctionReducer()]);
  time = 1_000_000;
  #seq = 0;

  submit(client: NodeId, command: Value): Told {
    return this.apply(client, encodePayload(command, 65_536));
  }

  apply(client: NodeId, command: Uint8Array): Told {
    this.#seq += 1;
    const context = { seq: this.#seq, time: this.time, client, validators: [] };
    return decoded(this.machine.apply(command, context)) as Told;
  }

  /** Time passes, and the log hears of it. */
  pass(ms: number): void {
    this.time += ms;
    this.apply(alice, tickCommand);
  }

  query(query: Value): Told {
    return decoded(this.machine.query(encodePayload(query, 65_536))) as Told;
  }

  settled(id = 'a'): Uint8Array | undefined {
    return this.machine.settled(encodePayload({ kind: 'auction.inspect', id }, 65_536));
  }

  events(): { topic: string; payload: Value }[] {
    return this.machine.takeEvents().map(({ topic, payload }) => ({ topic, payload: decoded(payload) }));
  }

  open(terms: Fields, id = 'a', client = alice): Told {
    return this.submit(client, { kind: 'auction.open', id, terms });
  }

  commit(client: NodeId, agent: string, amount: number, number = 1, id = 'a'): Told {
    return this.submit(client, this.commitCommand(client, agent, amount, number, id));
  }

  commitCommand(client: NodeId, agent: string, amount: number, number = 1, id = 'a'): Fields {
    const opening = this.opening(id);
    const binding = { id, opening, agent, node: client };
    const opened = { amount, nonce: nonceOf(agent, number) };
    const { sign } = identities.get(client) as Identity;
    const sealed = sealBid(sign, seededRng(number), binding, opened);
    const commitment = commitmentOf(binding, opened);
    return { kind: 'auction.commit', id, opening, agent, commitment, sealed, number };
  }

  reveal(client: NodeId, agent: string, amount: number, number = 1, id = 'a'): Told {
    const nonce = nonceOf(agent, number);
    return this.submit(client, { kind: 'auction.reveal', id, opening: this.opening(id), agent, amount, nonce });
  }

  bid(client: NodeId, agent: string, amount: number, id = 'a'): Told {
    return this.submit(client, { kind: 'auction.bid', id, opening: this.opening(id), agent, amount });
  }

  view(id = 'a'): { [key: string]: Value } {
    const told = this.query({ kind: 'auction.inspect', id });
    return told.length === 2 ? {} : (told[0] as { [key: string]: Value });
  }

  /** The number of the opening; 0 where there is none. */
  opening(id = 'a'): number {
    return (this.view(id)['opening'] as number | undefined) ?? 0;
  }

  /** Winner's agent and price, or 'unsold', or undefined while it is open. */
  outcome(id = 'a'): readonly [string, number] | 'unsold' | undefined {
    const result = this.view(id)['result'] as { winner?: { agent: string }; price?: number } | undefined;
    if (result === undefined) return undefined;
    return result.winner === undefined ? 'unsold' : [result.winner.agent, result.price as number];
  }
}

export const code = (told: Told): string => (told.length === 2 ? told[0] : 'ok');

export function decoded(bytes: Uint8Array): Value {
  const result = decodePayload(bytes);
  if (!result.ok) throw new Error('The machine answered what cannot be read.');
  return result.value;
}
