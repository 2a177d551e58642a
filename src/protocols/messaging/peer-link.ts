/**
 * The caller's side towards one peer: the calls under way there, by id, and the two lanes that carry them.
 * What the peer answers is believed only for calls made to this very peer.
 */
import type { Clock } from '../../clock.ts';
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, Network } from '../../p2p/network.ts';
import type { Value } from '../../value.ts';
import { bulkProtocol, callProtocol, decodeFrame, encodeCancel, type Frame, type ReplyHead } from './frames.ts';
import { type FrameOwner, Lane } from './lane.ts';
import type { MessagingLimits } from './limits.ts';

/** A call under way, as the link sees it. */
export interface LinkedCall extends FrameOwner {
  /** Given by the link; -1 while it has none. */
  linkId: number;
  readonly sentOn: Channel | undefined;
  onReply(value: Value, head: ReplyHead | undefined): void;
  onError(error: QuorateError, head: ReplyHead | undefined): void;
  onMoved(node: string): void;
  onConnectionLost(reason: 'connection-lost' | 'unreachable', cause: unknown): void;
}

export interface PeerLinkOptions {
  readonly peer: NodeId;
  readonly network: Pick<Network, 'open'>;
  readonly clock: Clock;
  readonly limits: MessagingLimits;
  readonly ensureConnected: (peer: NodeId, signal: AbortSignal) => Promise<void>;
  /** Bytes of the peer that are no frame, or a frame that has no place here. */
  readonly onMalformed: (peer: NodeId, channel: Channel, reason: string) => void;
  /** A reply to no call: late after a deadline mostly, so it is counted and otherwise nothing. */
  readonly onStray: (peer: NodeId) => void;
}

const slotBits = 16;
const slotMask = (1 << slotBits) - 1;

export class PeerLink {
  readonly peer: NodeId;
  readonly call: Lane;
  readonly bulk: Lane;
  /** The peer said it takes no more requests; holds until its channel closes. */
  draining = false;
  /** How far the peer's registry is awaited here, on behalf of replies that told so. */
  catchingUp: ReplyHead | undefined = undefined;
  readonly #options: PeerLinkOptions;
  readonly #calls: (LinkedCall | undefined)[] = [];
  readonly #free: number[] = [];
  /** Casts that were handed over and can still be cancelled; their ids are not used again meanwhile. */
  readonly #casts = new Set<number>();
  #generation = 0;
  #size = 0;

  constructor(options: PeerLinkOptions) {
    this.peer = options.peer;
    this.#options = options;
    this.call = this.#lane(callProtocol);
    this.bulk = this.#lane(bulkProtocol);
  }

  /** Calls under way. */
  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size >= this.#options.limits.maxOutgoingCallsPerPeer;
  }

  /** Gives the call an id; an answer that comes for it goes to the call. */
  admit(call: LinkedCall): number {
    const slot = this.#free.pop() ?? this.#calls.length;
    let id: number;
    do {
      this.#generation = (this.#generation + 1) & 0xffff;
      id = ((this.#generation << slotBits) | slot) >>> 0;
    } while (this.#casts.size > 0 && this.#casts.has(id));
    call.linkId = id;
    this.#calls[slot] = call;
    this.#size += 1;
    return id;
  }

  /** The call has its answer or gave up; its id is free. */
  release(call: LinkedCall): void {
    const slot = call.linkId & slotMask;
    if (call.linkId < 0 || this.#calls[slot] !== call) return;
    this.#calls[slot] = undefined;
    this.#free.push(slot);
    this.#size -= 1;
    call.linkId = -1;
  }

  /** Sends a frame on the lane for its size. False when too much waits for this peer. */
  send(frame: Uint8Array, owner: FrameOwner | undefined): boolean {
    return this.laneFor(frame).send(frame, owner);
  }

  laneFor(frame: Uint8Array): Lane {
    return frame.length > this.#options.limits.bulkThresholdBytes ? this.bulk : this.call;
  }

  /** Tells the peer that nobody waits any more; on the channel of the request, so that it comes after it. */
  cancel(id: number, sentOn: Channel): void {
    if (!sentOn.closed) sentOn.send(encodeCancel(id));
  }

  /** Keeps the id of a cast that was handed over from being used again while it can be cancelled. */
  holdCast(id: number): boolean {
    if (this.#casts.size >= this.#options.limits.maxOutgoingCallsPerPeer) return false;
    this.#casts.add(id);
    return true;
  }

  releaseCast(id: number): void {
    this.#casts.delete(id);
  }

  /** The peer is unreachable: everything fails now, not at its deadline. */
  abort(reason: Error): void {
    for (const call of [...this.#calls]) {
      if (call?.sentOn !== undefined) call.onConnectionLost('unreachable', reason);
    }
    this.call.abort(reason);
    this.bulk.abort(reason);
    this.draining = false;
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.call.close(), this.bulk.close()]);
  }

  /** A frame of the peer that answers a call: from a channel opened here, or from the peer's bulk channel. */
  onAnswer(frame: Frame, channel: Channel): void {
    switch (frame.type) {
      case 4:
        this.#find(frame.id, frame.head)?.onReply(frame.value, frame.head);
        return;
      case 5:
        this.#find(frame.id, frame.head)?.onError(frame.error, frame.head);
        return;
      case 6:
        this.#find(frame.id)?.onMoved(frame.node);
        return;
      case 7:
        this.draining = true;
        return;
      default:
        this.#options.onMalformed(this.peer, channel, `frame ${frame.type} is no answer`);
    }
  }

  #find(id: number, head?: ReplyHead): LinkedCall | undefined {
    const call = this.#calls[id & slotMask];
    if (call !== undefined && call.linkId === id && call.sentOn !== undefined) return call;
    // Its head is told once; the next answer, which comes without, waits for it.
    this.catchingUp = head ?? this.catchingUp;
    this.#options.onStray(this.peer);
    return undefined;
  }

  #lane(protocol: string): Lane {
    const { peer, network, clock, limits, ensureConnected } = this.#options;
    return new Lane({
      peer,
      protocol,
      network,
      clock,
      ensureConnected,
      maxQueuedBytes: limits.maxOutgoingBytesPerPeer,
      onFrame: (bytes, channel) => {
        const frame = decodeFrame(bytes);
        if (frame === undefined) this.#options.onMalformed(peer, channel, 'not a frame');
        else this.onAnswer(frame, channel);
      },
      onClosed: (channel, error) => this.#onClosed(channel, error),
    });
  }

  #onClosed(channel: Channel, error: Error | undefined): void {
    this.draining = false;
    for (const call of [...this.#calls]) {
      if (call?.sentOn === channel) call.onConnectionLost('connection-lost', error);
    }
  }
}
