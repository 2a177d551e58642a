/** A node's part in its zone, both as participant and as aggregator, on one link. */
import type { NodeId } from '../../../node-id.ts';
import type { CoordinationTools } from '../tools.ts';
import type { GroupClient } from './group-client.ts';
import { ZoneAggregator } from './zone-aggregator.ts';
import { decodeZoneFrame, encodeZoneFrame, type ZoneFrame } from './zone-frames.ts';
import type { ZoneLink } from './zone-link.ts';
import { type CheckCertificate, ZoneParticipant } from './zone-participant.ts';

export interface ZoneRelayParts {
  readonly tools: CoordinationTools;
  readonly group: GroupClient;
  readonly link: ZoneLink;
  /** Without it nobody can be convinced by an aggregator, so each node asks the group itself once it hears of an outcome. */
  readonly check: CheckCertificate | undefined;
}

export class ZoneRelay {
  readonly participant: ZoneParticipant;
  readonly aggregator: ZoneAggregator;
  readonly counters = { sent: 0, received: 0, refused: 0 };
  readonly #link: ZoneLink;

  constructor({ tools, group, link, check }: ZoneRelayParts) {
    this.#link = link;
    const send = (to: NodeId, frame: ZoneFrame): boolean => this.#send(to, frame);
    this.participant = new ZoneParticipant({
      tools,
      group,
      send,
      check,
      aggregator: () => link.aggregator(),
      onForged: () => {
        this.counters.refused += 1;
      },
    });
    this.aggregator = new ZoneAggregator({ tools, group, send, certify: check !== undefined });
    link.listen({
      onMessage: (from, bytes) => this.#receive(from, bytes),
      onGone: (node) => this.participant.onGone(node),
    });
  }

  stop(): void {
    this.aggregator.stop();
    this.#link.stop();
  }

  #send(to: NodeId, frame: ZoneFrame): boolean {
    if (to !== this.#link.self) this.counters.sent += 1;
    return this.#link.send(to, encodeZoneFrame(frame));
  }

  #receive(from: NodeId, bytes: Uint8Array): void {
    if (from !== this.#link.self) this.counters.received += 1;
    const frame = decodeZoneFrame(bytes);
    if (frame === undefined) this.counters.refused += 1;
    else if (frame.t === 'arrive') this.aggregator.onArrive(from, frame);
    else if (frame.t === 'over') this.participant.onOver(from, frame);
    else this.participant.onAnswer(from, frame);
  }
}
