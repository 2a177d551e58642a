/**
 * A replica with a driver for virtual time: a disk whose writes can be lost until they are synced, an effect
 * queue in which no message overtakes an earlier write, a skewed clock, and at most one adversary between it
 * and the network.
 */
import type { NodeId } from '../../../src/node-id.ts';
import type { Effect, Input, LogRecord, ReplicaEvent } from '../../../src/protocols/pbft/effects.ts';
import { encodeMessage } from '../../../src/protocols/pbft/encoding.ts';
import type { Message } from '../../../src/protocols/pbft/messages.ts';
import { recordsToKeep, restore } from '../../../src/protocols/pbft/recovery.ts';
import { step } from '../../../src/protocols/pbft/replica.ts';
import type { ReplicaSetup, ReplicaState } from '../../../src/protocols/pbft/state.ts';
import { isNeeded } from '../../../src/protocols/pbft/triage.ts';
import { inspect } from '../../../src/protocols/pbft/validate.ts';
import type { Keys } from './keys.ts';
import type { World } from './world.ts';

/** What an adversary may do with the replica it has taken over. Its core runs on underneath, honestly. */
export interface Adversary {
  readonly name: string;
  /** What leaves in place of one message to one peer; `[message]` changes nothing. */
  outgoing?(to: NodeId, message: Message): readonly Message[];
  /** False keeps a message from the core. */
  incoming?(from: NodeId, bytes: Uint8Array): boolean;
  /** Called now and then, to send whatever it likes. */
  tick?(): void;
  /** What is left of the disk after a crash. */
  afterCrash?(records: LogRecord[]): LogRecord[];
}

/** What an adversary has to work with: everything of its own replica, nobody else's key. */
export interface Corruption {
  readonly world: World;
  readonly self: NodeId;
  readonly peers: readonly NodeId[];
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly keys: Pick<Keys, 'verify'>;
  readonly setup: () => ReplicaSetup;
  readonly state: () => ReplicaState | undefined;
  /** Puts a message on the network as it is. */
  send(to: NodeId, message: Message): void;
  sendBytes(to: NodeId, bytes: Uint8Array): void;
}

export interface NodeOptions {
  readonly world: World;
  readonly keys: Keys;
  readonly setup: () => ReplicaSetup;
  /** How far the wall clock is off, in milliseconds, and how fast the monotonic one runs. */
  readonly wallOffset: number;
  readonly rate: number;
  readonly maxSyncMs: number;
  readonly onEvent: (event: ReplicaEvent) => void;
  /** Every message as the honest core sends it. */
  readonly onSend: (message: Message) => void;
  readonly onVerdict: (verdict: string) => void;
}

/** What the wall clocks show when virtual time begins. */
export const epochMs = 1_700_000_000_000;

/** What others may see, and so must wait for the disk. */
type Outward = Extract<Effect, { type: 'send' | 'event' }>;

export class SimulatedReplica {
  readonly id: NodeId;
  state: ReplicaState | undefined;
  adversary: Adversary | undefined;
  readonly #options: NodeOptions;
  #disk: LogRecord[] = [];
  #unsynced: LogRecord[] = [];
  #syncing = false;
  #written = 0;
  #synced = 0;
  #queue: { readonly needs: number; readonly effect: Outward }[] = [];
  #life = 0;
  #wakeAt = Number.NEGATIVE_INFINITY;

  constructor(id: NodeId, options: NodeOptions) {
    this.id = id;
    this.#options = options;
  }

  get up(): boolean {
    return this.state !== undefined;
  }

  start(): void {
    if (this.up) return;
    this.#life++;
    this.state = restore(this.#options.setup(), this.#disk);
    this.#feed({ type: 'start' });
  }

  /** Loses everything that was not synced, messages that waited for it included. */
  crash(): void {
    if (!this.up) return;
    this.state = undefined;
    this.#life++;
    this.#unsynced = [];
    this.#queue = [];
    this.#syncing = false;
    this.#written = 0;
    this.#synced = 0;
    this.#wakeAt = Number.NEGATIVE_INFINITY;
    this.#disk = this.adversary?.afterCrash?.(this.#disk) ?? this.#disk;
  }

  receive(from: NodeId, bytes: Uint8Array): void {
    if (this.state === undefined || this.adversary?.incoming?.(from, bytes) === false) return;
    const { keys, onVerdict } = this.#options;
    const inspected = inspect(bytes, from, this.state.context);
    if (!inspected.ok) {
      onVerdict(inspected.verdict);
      return;
    }
    if (!isNeeded(this.state, inspected.accepted.message)) return;
    const sound = inspected.claims.every((claim) => keys.verify(claim.signer, claim.bytes, claim.signature));
    if (sound) this.#feed({ type: 'message', accepted: inspected.accepted });
    else onVerdict('bad-signature');
  }

  #feed(input: Input): void {
    const { world, wallOffset, rate } = this.#options;
    if (this.state === undefined) return;
    const now = { monotonicMs: world.now * rate, wallMs: epochMs + wallOffset + world.now };
    for (const effect of step(this.state, input, now)) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'persist':
        this.#unsynced.push(effect.record);
        this.#written++;
        this.#sync();
        break;
      case 'send':
      case 'event':
        if (this.#queue.length === 0 && this.#synced === this.#written) this.#release(effect);
        else this.#queue.push({ needs: this.#written, effect });
        break;
      case 'wake':
        this.#wake(effect.atMs);
        break;
    }
  }

  #release(effect: Outward): void {
    if (effect.type === 'send') this.#transmit(effect);
    else this.#options.onEvent(effect.event);
  }

  #sync(): void {
    const { world, maxSyncMs } = this.#options;
    if (this.#syncing) return;
    this.#syncing = true;
    const life = this.#life;
    // Everything written until the sync begins shares it; what comes later takes the next one.
    const group = this.#unsynced.splice(0);
    world.after(0.05 + world.rng.float() * maxSyncMs, () => {
      if (life !== this.#life) return;
      this.#disk.push(...group);
      if (group.some(({ kind }) => kind === 'checkpoint')) this.#disk = recordsToKeep(this.#disk);
      this.#synced += group.length;
      this.#syncing = false;
      while ((this.#queue[0]?.needs ?? Number.POSITIVE_INFINITY) <= this.#synced) {
        const next = this.#queue.shift();
        if (next !== undefined) this.#release(next.effect);
      }
      if (this.#unsynced.length > 0) this.#sync();
    });
  }

  #transmit({ to, message }: Effect & { type: 'send' }): void {
    const { world, onSend } = this.#options;
    onSend(message);
    const plain = this.adversary?.outgoing === undefined ? encodeMessage(message) : undefined;
    for (const peer of to) {
      if (plain !== undefined) world.send(this.id, peer, plain);
      else
        for (const sent of this.adversary?.outgoing?.(peer, message) ?? [])
          world.send(this.id, peer, encodeMessage(sent));
    }
  }

  #wake(atMs: number): void {
    const { world, rate } = this.#options;
    // A little late rather than a rounding error early, which would wake it again and again.
    const at = atMs / rate + 0.001;
    this.#wakeAt = at;
    const life = this.#life;
    world.at(at, () => {
      if (life !== this.#life || this.#wakeAt !== at) return;
      this.#feed({ type: 'wake' });
    });
  }
}
