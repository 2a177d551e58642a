/**
 * A simulated connection: two endpoints, and a pipe each way that is reliable and ordered while the
 * connection lives, as TCP is. A partition stalls the pipes. Broadcasts travel beside the ordered frames
 * and may overtake each other, because gossip goes over several hops and streams.
 */
import type { NodeId } from '../../node-id.ts';
import { Admission } from '../admission.ts';
import type { Hello, Rival } from '../handshake.ts';
import type { ConnectedNode, Medium } from './medium.ts';

/** What a connection knows of the channels on it. */
interface ConnectionChannel {
  readonly protocol: string;
  readonly inbound: boolean;
  ended(error: Error | undefined): void;
}

export class Endpoint<Node extends ConnectedNode = ConnectedNode> {
  readonly network: Node;
  readonly outbound: boolean;
  readonly channels = new Set<ConnectionChannel>();
  /** Set by `connectEndpoints`. */
  other!: Endpoint<Node>;
  admission!: Admission;
  /** False once this side knows that the connection is over. */
  alive = true;
  /** True when the peer announced the close. */
  byeReceived = false;
  pongWaiters: (() => void)[] = [];
  readonly #world: Medium<Node>;
  readonly #ordered: (() => void)[] = [];
  #lastArrival = 0;
  #stalledOrdered = 0;
  #stalledLoose: (() => void)[] = [];

  constructor(world: Medium<Node>, network: Node, outbound: boolean) {
    this.#world = world;
    this.network = network;
    this.outbound = outbound;
  }

  get peer(): NodeId {
    return this.other.network.self;
  }

  get instance(): Uint8Array | undefined {
    return this.admission.theirs?.instance;
  }

  /** `deliver` runs at the other node, after everything sent before. */
  transmit(deliver: () => void): void {
    this.#ordered.push(deliver);
    this.#scheduleOrdered();
  }

  #scheduleOrdered(): void {
    const arrival = Math.max(this.#lastArrival, this.#world.now + this.#delay());
    this.#lastArrival = arrival;
    this.#world.schedule(arrival - this.#world.now, undefined, () => {
      if (this.#world.blocked(this.network, this.other.network)) this.#stalledOrdered += 1;
      else this.#arrive(this.#ordered.shift());
    });
  }

  /** `deliver` runs at the other node after `delays` delays, in no order. */
  transmitLoose(deliver: () => void, delays: number): void {
    this.#world.schedule(this.#delay() * delays, undefined, () => {
      if (this.#world.blocked(this.network, this.other.network)) this.#stalledLoose.push(deliver);
      else this.#arrive(deliver);
    });
  }

  #arrive(deliver: (() => void) | undefined): void {
    if (deliver === undefined) return;
    this.#world.runAt(this.other.network.process, () => {
      if (this.other.alive) deliver();
    });
  }

  /** After a partition: what stalled is sent on. */
  release(): void {
    if (this.#world.blocked(this.network, this.other.network)) return;
    for (; this.#stalledOrdered > 0; this.#stalledOrdered--) this.#scheduleOrdered();
    const loose = this.#stalledLoose;
    this.#stalledLoose = [];
    for (const deliver of loose) this.transmitLoose(deliver, 1);
  }

  #delay(): number {
    return this.#world.delay(this.network, this.other.network);
  }
}

/** Joins two endpoints into a connection; the caller starts the admission on each side. */
export function connectEndpoints<Node extends ConnectedNode>(
  world: Medium<Node>,
  from: Node,
  to: Node,
): Endpoint<Node> {
  const outbound = new Endpoint<Node>(world, from, true);
  const inbound = new Endpoint<Node>(world, to, false);
  outbound.other = inbound;
  inbound.other = outbound;
  return outbound;
}

export interface AdmissionEvents {
  denial(peer: NodeId): string | undefined;
  rival(): Rival | undefined;
  probeRival(): Promise<boolean>;
  dropRival(): void;
  onAdmitted(): void;
  onRefused: ConstructorParameters<typeof Admission>[1]['onRefused'];
}

export function admissionOf(endpoint: Endpoint, mine: Hello, events: AdmissionEvents): Admission {
  return new Admission(mine, {
    ...events,
    send: (frame) => endpoint.transmit(() => endpoint.other.admission.receive(frame)),
    denial: () => events.denial(endpoint.peer),
    onBye: () => {
      endpoint.byeReceived = true;
    },
    onPong: () => {
      for (const answered of endpoint.pongWaiters.splice(0)) answered();
    },
    onViolation: (reason) => {
      throw new Error(`A simulated node broke the hello protocol: ${reason}`);
    },
  });
}
