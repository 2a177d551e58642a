/**
 * Replicas round a table: every message is handed over by hand, so that a test reads like the protocol.
 * What a replica does is written in short lines such as `prepare 0/1 → r0 r2 r3` (view/sequence → to whom).
 */
import type { NodeId } from '../../../src/node-id.ts';
import type { Effect, LogRecord, ReplicaEvent } from '../../../src/protocols/pbft/effects.ts';
import { encodeMessage, requestBody, requestBytes } from '../../../src/protocols/pbft/encoding.ts';
import { foundingGroup, type GroupParameters } from '../../../src/protocols/pbft/group.ts';
import { bodyBytes, type Message, type Operation, type Request } from '../../../src/protocols/pbft/messages.ts';
import { restore } from '../../../src/protocols/pbft/recovery.ts';
import { step } from '../../../src/protocols/pbft/replica.ts';
import type { ReplicaOptions, ReplicaSetup, ReplicaState } from '../../../src/protocols/pbft/state.ts';
import { type Accepted, validate } from '../../../src/protocols/pbft/validate.ts';
import { Keys, nodeNumber } from '../../simulation/pbft/keys.ts';
import { Ledger } from '../../simulation/pbft/ledger.ts';

export const clientNode: NodeId = nodeNumber(100);

export interface TableOptions {
  readonly n: number;
  readonly f: number;
  readonly spares?: number;
  readonly parameters?: Partial<GroupParameters>;
  readonly options?: Partial<ReplicaOptions>;
}

interface Letter {
  readonly from: number;
  readonly to: number;
  readonly message: Message;
}

export class Table {
  readonly keys = new Keys();
  readonly states: ReplicaState[] = [];
  readonly disks: LogRecord[][] = [];
  readonly events: { readonly at: number; readonly event: ReplicaEvent }[] = [];
  /** Sent and not handed over yet. */
  letters: Letter[] = [];
  toClients: { readonly from: number; readonly to: NodeId; readonly message: Message }[] = [];
  now = 1_000;
  readonly #options: TableOptions;

  constructor(options: TableOptions) {
    this.#options = options;
    for (let index = 0; index < options.n + (options.spares ?? 0); index++) {
      this.disks.push([]);
      this.states.push(restore(this.setup(index), []));
    }
    for (const index of this.states.keys()) this.feed(index, { type: 'start' });
    this.letters = []; // Everybody says where it is; nobody has anything to say yet.
  }

  setup(index: number): ReplicaSetup {
    const { n, f, parameters, options } = this.#options;
    const self = nodeNumber(index);
    return {
      self,
      sign: this.keys.signer(self),
      name: 'table',
      founders: foundingGroup(
        Array.from({ length: n }, (_, at) => nodeNumber(at)),
        f,
      ),
      application: new Ledger(),
      parameters: { checkpointInterval: 4, window: 8, chunkBytes: 64, sessionWindow: 8, ...parameters },
      options: { requestTimeoutMs: 200, statusIntervalMs: 50, maxInFlight: 8, ...options },
    };
  }

  /** Only what a test hands over arrives; this feeds an input and returns what the replica does about it. */
  feed(at: number, input: Parameters<typeof step>[1]): string[] {
    const state = this.states[at] as ReplicaState;
    const effects = step(state, input, { monotonicMs: this.now, wallMs: 1_700_000_000_000 + this.now });
    return effects.flatMap((effect) => this.#note(at, effect));
  }

  #note(at: number, effect: Effect): string[] {
    switch (effect.type) {
      case 'wake':
        return [];
      case 'persist':
        this.disks[at]?.push(effect.record);
        return [`persist ${effect.record.kind} ${effect.record.view}/${effect.record.seq}`];
      case 'event':
        this.events.push({ at, event: effect.event });
        return effect.event.kind === 'executed' ? [`execute ${effect.event.seq}`] : [`event ${effect.event.kind}`];
      case 'send': {
        for (const to of effect.to) {
          const index = this.indexOf(to);
          if (index < 0) this.toClients.push({ from: at, to, message: effect.message });
          else this.letters.push({ from: at, to: index, message: effect.message });
        }
        if (effect.message.type === 'status') return [];
        return [`${title(effect.message)} → ${effect.to.map((to) => this.name(to)).join(' ')}`];
      }
    }
  }

  indexOf(id: NodeId): number {
    return this.states.findIndex(({ self }) => self === id);
  }

  name(id: NodeId): string {
    const index = this.indexOf(id);
    return index < 0 ? 'client' : `r${index}`;
  }

  accept(at: number, from: NodeId, message: Message): Accepted | string {
    return validate(encodeMessage(message), from, (this.states[at] as ReplicaState).context, this.keys.verify);
  }

  /** Hands a message over as if `from` had sent it; what is refused at the boundary is told as `refused: …`. */
  hand(at: number, from: number | NodeId, message: Message): string[] {
    const accepted = this.accept(at, typeof from === 'number' ? nodeNumber(from) : from, message);
    return typeof accepted === 'string' ? [`refused: ${accepted}`] : this.feed(at, { type: 'message', accepted });
  }

  /** Takes the oldest undelivered message of this kind from the table. */
  take(type: Message['type'], from: number, to: number): Message {
    const index = this.letters.findIndex((one) => one.message.type === type && one.from === from && one.to === to);
    const [letter] = index < 0 ? [] : this.letters.splice(index, 1);
    if (letter === undefined) throw new Error(`r${from} has sent no ${type} to r${to}`);
    return letter.message;
  }

  /** Hands over the oldest message of this kind on the table. */
  pass(type: Message['type'], from: number, to: number): string[] {
    return this.hand(to, from, this.take(type, from, to));
  }

  /** Delivers everything, and what comes of it, until nothing is left; `lost` names what never arrives. */
  settle(lost: (letter: Letter) => boolean = () => false): void {
    for (let count = 0; this.letters.length > 0; count++) {
      if (count > 20_000) throw new Error('The table never comes to rest.');
      const letter = this.letters.shift() as Letter;
      if (!lost(letter)) this.hand(letter.to, letter.from, letter.message);
    }
  }

  /** Time passes for everybody, in steps of the status interval. */
  pause(ms: number, lost: (letter: Letter) => boolean = () => false): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 50;
      for (const index of this.states.keys()) this.feed(index, { type: 'wake' });
      this.settle(lost);
    }
  }

  /** The process dies; what it had persisted is what it starts from. */
  restart(at: number): string[] {
    this.states[at] = restore(this.setup(at), this.disks[at] ?? []);
    return this.feed(at, { type: 'start' });
  }

  request(number: number, operation: Operation | string, by: { client?: NodeId; session?: number } = {}): Request {
    const client = by.client ?? clientNode;
    const what: Operation =
      typeof operation === 'string' ? { kind: 'commands', commands: [Buffer.from(operation)] } : operation;
    const session = what.kind === 'open' ? 0 : (by.session ?? 1);
    const content = { client, session, number, acknowledged: Math.max(0, number - 5), operation: what };
    const body = requestBody(content);
    const groupId = (this.states[0] as ReplicaState).context.groupId;
    const signature = this.keys.signer(client)(bodyBytes(groupId, 'request', body));
    return { type: 'request', ...content, signature, bytes: requestBytes(body, signature) };
  }

  /** A client opens its session and everybody executes that: sequence 1 is taken from here on. */
  open(lost?: (letter: Letter) => boolean): this {
    this.hand(0, clientNode, this.request(1, { kind: 'open' }));
    this.settle(lost);
    return this;
  }

  /** Orders a command the ordinary way. */
  order(number: number, command: string, lost?: (letter: Letter) => boolean): void {
    this.hand(0, clientNode, this.request(number, command));
    this.settle(lost);
  }

  executed(): number[] {
    return this.states.map(({ replicated }) => replicated.executed);
  }

  lengths(): number[] {
    return this.states.map(({ replicated }) => (replicated.application as Ledger).length);
  }

  chains(): Set<string> {
    return new Set(this.states.map(({ replicated }) => (replicated.application as Ledger).chain));
  }
}

function title(message: Message): string {
  switch (message.type) {
    case 'prePrepare':
    case 'prepare':
    case 'commit':
      return `${message.type} ${message.view}/${message.seq}`;
    case 'checkpoint':
    case 'committed':
    case 'fetchBatch':
    case 'batch':
      return `${message.type} ${message.seq}`;
    case 'viewChange':
    case 'newView':
      return `${message.type} ${message.view}`;
    default:
      return message.type;
  }
}
