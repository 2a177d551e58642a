/** Coordination over any ordering: the reducers of the machine, and the handles that speak to it. */
import type { NodeId } from '../../node-id.ts';
import { MachineAtoms } from './atoms/machine-atoms.ts';
import { MapReducer } from './atoms/map-reducer.ts';
import { CounterReducer, SequenceReducer } from './atoms/number-reducers.ts';
import { OrderedAuctions } from './auctions/ordered-auctions.ts';
import { AuctionReducer } from './auctions/reducer.ts';
import { OrderedBarriers, type ZoneParts } from './barrier/ordered-barriers.ts';
import { BarrierReducer } from './barrier/reducer.ts';
import type { Coordination, OrderingStatus } from './coordination.ts';
import { OrderedGrants } from './grants/ordered-grants.ts';
import { GrantReducer } from './grants/reducer.ts';
import { CoordinationMachine } from './machine/machine.ts';
import { NameClaims } from './names/name-claims.ts';
import type { Names } from './names/names.ts';
import { NamesReducer } from './names/reducer.ts';
import { OrderedProposals } from './proposals/ordered-proposals.ts';
import { ProposalsReducer } from './proposals/reducer.ts';
import { MachineQuotas } from './quotas/machine-quotas.ts';
import type { Quotas } from './quotas/quotas.ts';
import { QuotasReducer } from './quotas/reducer.ts';
import { OrderedStateMachines } from './state-machines/machine-handle.ts';
import { StateMachinesReducer } from './state-machines/reducer.ts';
import type { AnyStateMachine } from './state-machines/state-machines.ts';
import type { CoordinationTools } from './tools.ts';
import type { Validators } from './validators.ts';

/** True when `signature` is the node's on `bytes`; the same at every replica. */
export type VerifySignature = (node: NodeId, bytes: Uint8Array, signature: Uint8Array) => boolean;

/** The machine in its founding state, the same at every validator, with the application's own state machines. */
export function createMachine(verify: VerifySignature, stateMachines: readonly AnyStateMachine[]): CoordinationMachine {
  return new CoordinationMachine([
    new GrantReducer(),
    new BarrierReducer(verify),
    new ProposalsReducer(),
    new AuctionReducer(),
    new SequenceReducer(),
    new CounterReducer(),
    new MapReducer(),
    new NamesReducer(),
    new QuotasReducer(),
    new StateMachinesReducer(stateMachines),
  ]);
}

/** Coordination as a mesh holds it. */
export interface CoordinationParts {
  readonly coordination: Coordination;
  /** For the registry's strong names. */
  readonly names: Names;
  /** For strict rate limits. */
  readonly quotas: Quotas;
  /** Gives back what it can, and stops answering for agents. The ordering is its owner's to stop. */
  stop(): Promise<void>;
}

export function coordinationOver(
  tools: CoordinationTools,
  parts: {
    readonly zone: ZoneParts;
    readonly validators: Validators;
    readonly status: () => OrderingStatus;
  },
): CoordinationParts {
  const grants = new OrderedGrants(tools);
  const barriers = new OrderedBarriers(tools, parts.zone);
  const proposals = new OrderedProposals(tools);
  const auctions = new OrderedAuctions(tools);
  const atoms = new MachineAtoms(tools);
  const machines = new OrderedStateMachines(tools);
  const names = new NameClaims(tools);
  const coordination: Coordination = {
    validators: parts.validators,
    status: () => ({ ...parts.status(), barriers: barriers.counters }),
    lock: (name, options) => grants.lock(name, options),
    semaphore: (name, options) => grants.semaphore(name, options),
    election: (name) => grants.election(name),
    inspect: (name, options) => grants.inspect(name, options),
    barrier: (options, how) => barriers.barrier(options, how),
    propose: (options) => proposals.propose(options),
    voter: (agent, vote) => proposals.voter(agent, vote),
    vote: (id, ballot) => proposals.vote(id, ballot),
    openProposals: (options) => proposals.openProposals(options),
    decision: (id, options) => proposals.decision(id, options),
    auction: (options) => auctions.auction(options),
    joinAuction: (id, options) => auctions.joinAuction(id, options),
    inspectAuction: (id, options) => auctions.inspectAuction(id, options),
    openAuctions: (options) => auctions.openAuctions(options),
    bidder: (agent, answer, options) => auctions.bidder(agent, answer, options),
    sequence: (name) => atoms.sequence(name),
    counter: (name) => atoms.counter(name),
    map: (name) => atoms.map(name),
    stateMachine: (definition) => machines.stateMachine(definition),
  };
  return {
    coordination,
    names,
    quotas: new MachineQuotas(tools),
    async stop() {
      proposals.stop();
      auctions.stop();
      barriers.stop();
      await Promise.all([grants.stop(), names.stop()]);
    },
  };
}
