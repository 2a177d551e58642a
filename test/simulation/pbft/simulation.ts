/** Runs one plan: builds the nodes, lets the faults happen, repairs everything, and asks for what is owed. */
import type { NodeId } from '../../../src/node-id.ts';
import { type ClientState, createClient } from '../../../src/protocols/pbft/client.ts';
import type { CommandOutcome } from '../../../src/protocols/pbft/client-contract.ts';
import { encodeMessage } from '../../../src/protocols/pbft/encoding.ts';
import { foundingGroup, type Group, type GroupParameters } from '../../../src/protocols/pbft/group.ts';
import { createReplica, executedBy, type ReplicaSetup } from '../../../src/protocols/pbft/state.ts';
import { corrupt } from './adversaries/catalogue.ts';
import { startBadClient } from './adversaries/clients.ts';
import { Checkers, Violation } from './checkers.ts';
import { describe } from './describe.ts';
import { Keys, nodeNumber } from './keys.ts';
import { type Applied, Ledger, readLedgerResult, readLength } from './ledger.ts';
import { epochMs, SimulatedReplica } from './node.ts';
import type { Fault, Plan } from './plan.ts';
import { SimulatedClient } from './sim-client.ts';
import { calm, World } from './world.ts';

/** Small, so that checkpoints, transfers and full windows happen all the time. */
const smallParameters: Partial<GroupParameters> = {
  checkpointInterval: 4,
  window: 8,
  maxBatchRequests: 8,
  sessionWindow: 8,
  maxSessions: 16,
  chunkBytes: 128,
  maxResultBytes: 1 << 12,
  maxSessionBytes: 1 << 12,
};

/** Virtual time within which everything must be settled once the faults have ended. */
const patienceMs = 120_000;

export interface RunResult {
  readonly violation: string | undefined;
  readonly trace: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly executed: number;
  readonly views: number;
  /** Times that an honest replica proved another to be a liar. */
  readonly evidence: number;
}

export class Simulation {
  readonly plan: Plan;
  readonly world: World;
  readonly keys = new Keys();
  readonly checkers = new Checkers();
  readonly replicas: SimulatedReplica[] = [];
  readonly clients: SimulatedClient[] = [];
  readonly liars = new Set<NodeId>();
  readonly #applied = new Map<NodeId, Applied[]>();
  readonly #founders: Group;
  readonly #skews = new Map<number, { offset: number; rate: number }>();
  #owed = 0;
  #views = 0;
  #evidence = 0;
  #repaired = false;
  #nextId = 1;

  constructor(plan: Plan, tracing: boolean) {
    this.plan = plan;
    this.world = new World(plan.seed, { ...plan.conditions });
    this.world.tracing = tracing;
    this.#founders = foundingGroup(
      Array.from({ length: plan.n }, (_, index) => nodeNumber(index)),
      plan.f,
    );
    for (const fault of plan.faults) {
      if (fault.kind === 'skew') this.#skews.set(fault.replica, fault);
      if (fault.kind === 'adversary') this.liars.add(nodeNumber(fault.replica));
    }
    for (let index = 0; index < plan.n + plan.spares; index++) this.replicas.push(this.#replica(index));
  }

  #name(id: NodeId): string {
    const index = this.replicas.findIndex((replica) => replica.id === id);
    return index < 0 ? `client ${id.slice(-4)}` : `r${index}`;
  }

  #countApplied(id: NodeId, seq: number): void {
    const applied = this.#applied.get(id) ?? [];
    for (let entry = applied[0]; entry !== undefined && entry.seq <= seq; entry = applied[0]) {
      this.checkers.applied(entry.position, entry.command, entry.chain);
      applied.shift();
    }
  }

  setupOf(index: number, life = true): ReplicaSetup {
    const id = nodeNumber(index);
    const { plan, keys } = this;
    // Counts once the replica says that it executed the sequence: until then its disk may forget it.
    const applied: Applied[] = [];
    if (life && !this.liars.has(id)) this.#applied.set(id, applied);
    return {
      self: id,
      sign: keys.signer(id),
      name: 'simulation',
      founders: this.#founders,
      application: new Ledger((entry) => applied.push(entry)),
      parameters: smallParameters,
      options: {
        requestTimeoutMs: 250,
        maxTimeoutMs: 4_000,
        statusIntervalMs: 40,
        idleStatusMs: 400,
        maxInFlight: plan.maxInFlight,
        maxViewMs: plan.maxViewMs,
        maxPending: 256,
      },
    };
  }

  #replica(index: number): SimulatedReplica {
    const id = nodeNumber(index);
    const { world, keys, checkers, liars } = this;
    const skew = this.#skews.get(index);
    const replica: SimulatedReplica = new SimulatedReplica(id, {
      world,
      keys,
      setup: () => this.setupOf(index),
      wallOffset: skew?.offset ?? 0,
      rate: skew?.rate ?? 1,
      maxSyncMs: this.plan.maxSyncMs,
      onVerdict: () => undefined,
      onSend: (message) => {
        if (!liars.has(id)) checkers.sent(id, message);
        world.note(() => `r${index} sends ${describe(message)}`);
      },
      onEvent: (event) => {
        world.note(() => `r${index} ${describe(event)}`);
        if (event.kind === 'view' && event.active) this.#views++;
        if (liars.has(id)) return;
        if (event.kind === 'evidence') this.#evidence++;
        checkers.event(event, id, liars, replica.state, keys.verify, epochMs + world.now);
        if (event.kind === 'executed') this.#countApplied(id, event.seq);
      },
    });
    return replica;
  }

  run(): RunResult {
    const { world, plan } = this;
    let violation: string | undefined;
    try {
      this.#begin();
      world.run(plan.chaosMs, () => false);
      this.#repair();
      world.run(plan.chaosMs + patienceMs, () => this.#settled());
      this.#end();
    } catch (error) {
      // Broken invariants of the core count like violations that a checker sees.
      violation =
        error instanceof Violation ? error.message : `exception: ${error instanceof Error ? error.stack : error}`;
      world.note(() => `VIOLATION ${violation}`);
    }
    const executed = Math.max(...this.replicas.map(({ state }) => (state === undefined ? 0 : executedBy(state))));
    return {
      violation,
      trace: world.trace,
      virtualMs: world.now,
      events: world.events,
      executed,
      views: this.#views,
      evidence: this.#evidence,
    };
  }

  #begin(): void {
    const { plan, world } = this;
    this.replicas.forEach((replica, index) => {
      this.#attach(replica.id, replica, undefined);
      const fault = plan.faults.find((one) => one.kind === 'adversary' && one.replica === index);
      if (fault?.kind === 'adversary') {
        replica.adversary = corrupt(fault.name, this.corruption(index), () => {
          replica.crash();
          world.after(30, () => replica.start());
        });
      }
      if (replica.adversary?.tick !== undefined) this.#tickAdversary(replica);
      world.after(world.rng.float() * 5, () => replica.start());
    });
    for (let index = 0; index < plan.clients; index++) this.#addClient(nodeNumber(100 + index));
    for (const [index, client] of this.clients.entries()) this.#scheduleCommands(client, index);
    for (const fault of plan.faults) this.#schedule(fault);
    this.#watchBounds();
  }

  corruption(index: number): Parameters<typeof corrupt>[1] {
    const { world, keys } = this;
    const self = nodeNumber(index);
    return {
      world,
      self,
      peers: this.replicas.map(({ id }) => id).filter((id) => id !== self),
      sign: keys.signer(self),
      keys,
      setup: () => this.setupOf(index),
      state: () => this.replicas[index]?.state,
      send: (to, message) => world.send(self, to, encodeMessage(message)),
      sendBytes: (to, bytes) => world.send(self, to, bytes),
    };
  }

  #tickAdversary(replica: SimulatedReplica): void {
    this.world.after(15 + this.world.rng.float() * 40, () => {
      if (replica.up) replica.adversary?.tick?.();
      this.#tickAdversary(replica);
    });
  }

  /** A node that is both replica and client hears replies as a client and everything else as a replica. */
  #attach(id: NodeId, replica: SimulatedReplica | undefined, client: SimulatedClient | undefined): void {
    this.world.attach(id, (from, bytes) => {
      client?.receive(from, bytes);
      replica?.receive(from, bytes);
    });
  }

  #addClient(id: NodeId): SimulatedClient {
    const { context } = createReplica(this.setupOf(0, false));
    const state: ClientState = createClient({
      self: id,
      sign: this.keys.signer(id),
      context: { ...context, groups: new Map(context.groups) },
      group: this.#founders,
      incarnation: 1,
      options: { retryMs: 100, deadlineMs: 1e9, readTimeoutMs: 60, maxOutstanding: 3 },
    });
    const replica = this.replicas.find((one) => one.id === id);
    const client = new SimulatedClient(this.world, this.keys, state, (op, outcome) => this.#pending.get(op)?.(outcome));
    this.#attach(id, replica, client);
    this.clients.push(client);
    return client;
  }

  readonly #pending = new Map<number, (outcome: CommandOutcome) => void>();

  #scheduleCommands(client: SimulatedClient, index: number): void {
    const { plan, world } = this;
    for (let count = 0; count < plan.commandsPerClient; count++) {
      const read = world.rng.float() < 0.25;
      world.at(world.rng.float() * plan.chaosMs * 1.1, () => {
        if (read) this.read(client);
        else this.submit(client, `c${index}-${count}`);
      });
    }
  }

  submit(client: SimulatedClient, command: string): void {
    const id = this.#nextId++;
    this.#owed++;
    this.checkers.submit(command);
    this.#pending.set(id, (outcome) => {
      this.#owed--;
      if (outcome.kind !== 'result' || !outcome.result.ok)
        throw new Violation(`liveness: '${command}' ended ${outcome.kind}`);
      const { position, chain } = readLedgerResult(outcome.result.value);
      this.checkers.acknowledge(command, position, chain);
    });
    client.feed({ type: 'submit', id, command: Buffer.from(command) });
  }

  read(client: SimulatedClient): void {
    const id = this.#nextId++;
    const atLeast = this.checkers.acknowledgedLength;
    this.#owed++;
    this.#pending.set(id, (outcome) => {
      this.#owed--;
      if (outcome.kind !== 'result' || !outcome.result.ok)
        throw new Violation(`liveness: a read ended ${outcome.kind}`);
      this.checkers.read(readLength(outcome.result.value), atLeast);
    });
    client.feed({ type: 'read', id, query: new Uint8Array(), ordered: Buffer.from('length') });
  }

  #schedule(fault: Fault): void {
    const { world, plan } = this;
    if (fault.kind === 'crash') {
      world.at(fault.at, () => this.#crash(fault.replica));
      world.at(fault.backAt, () => this.#start(fault.replica));
    } else if (fault.kind === 'blackout') {
      world.at(fault.at, () => {
        for (const index of this.replicas.keys()) this.#crash(index);
      });
      fault.backAt.forEach((at, index) => {
        world.at(at, () => this.#start(index));
      });
    } else if (fault.kind === 'partition') {
      world.at(fault.at, () => this.#cut(fault.side, fault.symmetric));
      world.at(fault.until, () => {
        if (!this.#repaired) world.heal();
      });
    } else if (fault.kind === 'reconfigure') {
      world.at(fault.at, () => this.#reconfigure(fault));
    } else if (fault.kind === 'badClient') {
      startBadClient(fault.name, {
        world,
        self: nodeNumber(200),
        sign: this.keys.signer(nodeNumber(200)),
        validators: this.replicas.slice(0, plan.n).map(({ id }) => id),
        groupId: createReplica(this.setupOf(0, false)).context.groupId,
        submitted: (command) => this.checkers.submit(command),
        until: plan.chaosMs + 2_000,
      });
    }
  }

  #crash(index: number): void {
    this.world.note(() => `r${index} CRASHES`);
    this.replicas[index]?.crash();
  }

  #start(index: number): void {
    if (this.replicas[index]?.up) return;
    this.world.note(() => `r${index} RESTARTS`);
    this.replicas[index]?.start();
  }

  #cut(side: readonly number[], symmetric: boolean): void {
    this.world.note(() => `PARTITION ${side.join(',')}${symmetric ? '' : ' (one way)'}`);
    const one = new Set(side.map(nodeNumber));
    for (const { id: from } of this.replicas) {
      for (const { id: to } of this.replicas) {
        if (!one.has(from) || one.has(to)) continue;
        this.world.cut(from, to);
        if (symmetric) this.world.cut(to, from);
      }
    }
  }

  /** Every honest node asks for the same change; those that are no validators just then are refused. */
  #reconfigure({ validators, f }: Extract<Fault, { kind: 'reconfigure' }>): void {
    for (const { id } of this.replicas) {
      if (this.liars.has(id)) continue;
      const client = this.clients.find((one) => one.id === id) ?? this.#addClient(id);
      const op = this.#nextId++;
      this.#owed++;
      this.#pending.set(op, (outcome) => {
        this.#owed--;
        // A vote that comes after the change took effect is another matter, and refused.
        if (outcome.kind !== 'voted' && outcome.kind !== 'refused')
          throw new Violation(`liveness: a vote ended ${outcome.kind}`);
      });
      client.feed({ type: 'reconfigure', id: op, validators: validators.map(nodeNumber), f });
    }
  }

  #watchBounds(): void {
    for (const { state } of this.replicas) if (state !== undefined) this.checkers.bounds(state);
    this.world.after(100, () => this.#watchBounds());
  }

  #repair(): void {
    this.#repaired = true;
    this.world.note(() => 'REPAIRED');
    this.world.heal();
    this.world.conditions = { ...calm };
    for (const index of this.replicas.keys()) this.#start(index);
  }

  /** Nothing owed, and every honest validator of today at the same place. */
  #settled(): boolean {
    if (this.#owed > 0) return false;
    const honest = this.#honestValidators();
    const [first] = honest;
    if (first === undefined || first.length < this.checkers.acknowledgedLength) return false;
    return honest.every((one) => one.executed === first.executed && one.epoch === first.epoch);
  }

  #honestValidators(): { executed: number; epoch: number; length: number }[] {
    const states = this.replicas.filter(({ id }) => !this.liars.has(id)).flatMap(({ state }) => (state ? [state] : []));
    const epoch = Math.max(...states.map(({ group }) => group.epoch));
    const newest = states.find(({ group }) => group.epoch === epoch)?.group;
    return states
      .filter(({ self }) => newest?.validators.includes(self))
      .map((state) => ({
        executed: executedBy(state),
        epoch: state.group.epoch,
        length: (state.replicated.application as Ledger).length,
      }));
  }

  #end(): void {
    if (!this.#settled()) {
      const places = this.#honestValidators().map(({ executed, epoch }) => `${epoch}:${executed}`);
      throw new Violation(
        `liveness: ${this.#owed} results owed ${patienceMs} ms after the faults ended; replicas at ${places}`,
      );
    }
    this.checkers.finish(this.#honestValidators().map(({ length }) => length));
  }
}
