/**
 * The control channels: one long-lived channel per link for probes and acks. Whoever has something to say
 * first opens it, the other answers on the same one. A peer that sends more than a busy honest one would,
 * or what is no frame, loses its channel or its frames, and is counted.
 */
import type { Clock } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import {
  type ControlFrame,
  controlProtocol,
  decodeControlFrame,
  encodeControlFrame,
  maxControlFrameBytes,
} from '../../p2p/detector/frames.ts';
import type { Channel, Network } from '../../p2p/network.ts';

/** Frames a peer may send in a burst, and per second in the long run; an honest one sends about one a second. */
const burstFrames = 100;
const framesPerSecond = 20;
/** Frames kept while a channel is being opened. They repeat themselves, so the newest are enough. */
const maxWaiting = 8;

interface Allowance {
  frames: number;
  at: number;
}

/** Frames. */
export interface ControlCounters {
  sent: number;
  received: number;
  malformed: number;
  overRate: number;
}

export class ControlLinks {
  readonly counters: ControlCounters = { sent: 0, received: 0, malformed: 0, overRate: 0 };
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #onFrame: (peer: NodeId, frame: ControlFrame) => void;
  readonly #onMalformed: (peer: NodeId) => void;
  readonly #channels = new Map<NodeId, Channel>();
  readonly #waiting = new Map<NodeId, Uint8Array[]>();
  readonly #allowances = new Map<NodeId, Allowance>();
  #stopped = false;

  /** To be made before the network starts. */
  constructor(
    network: Network,
    clock: Clock,
    onFrame: (peer: NodeId, frame: ControlFrame) => void,
    onMalformed: (peer: NodeId) => void,
  ) {
    this.#network = network;
    this.#clock = clock;
    this.#onFrame = onFrame;
    this.#onMalformed = onMalformed;
    const limits = { maxFrameBytes: maxControlFrameBytes, maxInboundPerPeer: 2 };
    network.handle(controlProtocol, limits, (channel) => this.#adopt(channel));
  }

  /** Best effort: lost when there is no connection. */
  send(peer: NodeId, frame: ControlFrame): void {
    const bytes = encodeControlFrame(frame);
    const channel = this.#channels.get(peer);
    if (channel !== undefined && !channel.closed) {
      this.counters.sent += 1;
      channel.send(bytes);
      return;
    }
    if (this.#stopped || !this.#network.isConnected(peer)) return;
    const waiting = this.#waiting.get(peer);
    if (waiting !== undefined) {
      waiting.push(bytes);
      if (waiting.length > maxWaiting) waiting.shift();
      return;
    }
    this.#waiting.set(peer, [bytes]);
    void this.#open(peer);
  }

  /** The connection is gone, and with it what is remembered of the peer. */
  forget(peer: NodeId): void {
    this.#channels.delete(peer);
    this.#waiting.delete(peer);
    this.#allowances.delete(peer);
  }

  stop(): void {
    this.#stopped = true;
    for (const channel of this.#channels.values()) channel.abort(stopped());
    this.#channels.clear();
  }

  async #open(peer: NodeId): Promise<void> {
    try {
      const channel = await this.#network.open(peer, controlProtocol);
      this.#adopt(channel);
      for (const bytes of this.#waiting.get(peer) ?? []) {
        this.counters.sent += 1;
        channel.send(bytes);
      }
    } catch {
      // The link went down; the detector hears of that by its own event, and what waited is void.
    } finally {
      this.#waiting.delete(peer);
    }
  }

  #adopt(channel: Channel): void {
    const { peer } = channel;
    if (this.#stopped) {
      channel.abort(stopped());
      return;
    }
    // When both opened at once both stay, and each side sends on the newer it knows.
    this.#channels.set(peer, channel);
    channel.listen({
      onFrame: (bytes) => this.#receive(channel, bytes),
      onClose: () => {
        if (this.#channels.get(peer) === channel) this.#channels.delete(peer);
      },
    });
  }

  #receive(channel: Channel, bytes: Uint8Array): void {
    this.counters.received += 1;
    if (!this.#allow(channel.peer)) {
      this.counters.overRate += 1;
      return;
    }
    const frame = decodeControlFrame(bytes);
    if (frame === undefined) {
      this.counters.malformed += 1;
      channel.abort(new Error('Not a control frame.'));
      this.#onMalformed(channel.peer);
      return;
    }
    this.#onFrame(channel.peer, frame);
  }

  #allow(peer: NodeId): boolean {
    const now = this.#clock.now();
    const allowance = this.#allowances.get(peer) ?? { frames: burstFrames, at: now };
    const earned = ((now - allowance.at) / 1_000) * framesPerSecond;
    const frames = Math.min(burstFrames, allowance.frames + earned);
    this.#allowances.set(peer, { frames: Math.max(0, frames - 1), at: now });
    return frames >= 1;
  }
}

function stopped(): Error {
  return new Error('This node is stopping.');
}
