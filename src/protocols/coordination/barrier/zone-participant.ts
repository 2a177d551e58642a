/**
 * A participant's side of its zone: hands arrivals to the aggregator, and believes of an outcome only what is certified, or what the group
 * says when it is asked.
 */

import * as v from 'valibot';
import type { Clock } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { decodeCertificate } from '../certificates/certificate-codec.ts';
import type { CoordinationTools } from '../tools.ts';
import { Bell } from './bell.ts';
import { announcementSchema, arrivalBytes, atSchema, type GenerationRef, type Outcome } from './commands.ts';
import type { GroupClient } from './group-client.ts';
import type { KnownBarrier } from './known-barrier.ts';
import type { OverFrame, ZoneFrame } from './zone-frames.ts';

/** An aggregator that has not answered by then is passed by, milliseconds. A few round trips within a zone. */
const answerMs = 250;
/** An aggregator that took an arrival and did nothing is passed by for this time, milliseconds. */
const distrustMs = 60_000;
/** Who waits for the rest of a zone of unknown size waits this long, milliseconds. */
const unknownShareMs = 5;
const maxPatienceMs = 1_000;
/** Nodes whose failures are remembered. */
const maxRemembered = 64;

/** What a certificate proves; throws `CERTIFICATE_INVALID`. `verifyCertificate` with the trust of the mesh. */
export type CheckCertificate = (certificate: Certificate) => { readonly query: Value; readonly statement: Value };

export interface RelayedPlace {
  readonly by: NodeId;
  /** How the generation ended; `alone`: do it yourself. */
  readonly bell: Bell<Outcome | 'alone'>;
  /** Nobody waits for it any more. */
  end(): void;
}

interface Waiting {
  readonly at: GenerationRef;
  readonly as: string;
  readonly attempt: number;
  readonly by: NodeId;
  readonly bell: Bell<Outcome | 'alone'>;
  readonly answered: Bell<boolean>;
}

export interface ParticipantParts {
  readonly tools: CoordinationTools;
  readonly group: GroupClient;
  readonly aggregator: () => NodeId;
  readonly send: (to: NodeId, frame: ZoneFrame) => boolean;
  readonly check: CheckCertificate | undefined;
  readonly onForged: () => void;
}

export class ZoneParticipant {
  readonly #parts: ParticipantParts;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  readonly #distrusted = new Map<NodeId, number>();
  readonly #doubted = new Set<NodeId>();
  /** Generations that the group is being asked about. */
  readonly #asking = new Set<string>();

  constructor(parts: ParticipantParts) {
    this.#parts = parts;
    this.#clock = parts.tools.clock;
  }

  isAggregator(node: NodeId): boolean {
    return this.#parts.aggregator() === node;
  }

  /** It did not pass on what had happened. Once may be chance: the news and the question crossed. */
  doubt(node: NodeId): void {
    if (this.#doubted.delete(node)) this.distrust(node);
    else if (this.#doubted.size < maxRemembered) this.#doubted.add(node);
  }

  /** It took an arrival and told nobody. */
  distrust(node: NodeId): void {
    // There is one aggregator at a time; the list is as long as the zone is unsteady.
    if (this.#distrusted.size >= maxRemembered) this.#distrusted.clear();
    this.#distrusted.set(node, this.#clock.now() + distrustMs);
  }

  /** Hands the arrival to the aggregator; undefined when that one does not take it promptly. */
  async arrive(
    arrival: { readonly at: GenerationRef; readonly as: string; readonly attempt: number },
    barrier: KnownBarrier,
    signal: AbortSignal,
  ): Promise<RelayedPlace | undefined> {
    const by = this.#parts.aggregator();
    if ((this.#distrusted.get(by) ?? 0) > this.#clock.now()) return undefined;
    const waiting: Waiting = { ...arrival, by, bell: new Bell(this.#clock), answered: new Bell(this.#clock) };
    this.#waiting.add(waiting);
    const end = (): void => void this.#waiting.delete(waiting);
    try {
      const sent = this.#parts.send(by, this.#frame(arrival, barrier));
      const taken = sent && (await waiting.answered.next(answerMs, signal)) === true;
      if (taken) return { by, bell: waiting.bell, end };
    } catch (error) {
      end();
      throw error;
    }
    end();
    return undefined;
  }

  onAnswer(from: NodeId, { t, at, as, attempt }: Extract<ZoneFrame, { t: 'taken' | 'refused' }>): void {
    for (const waiting of this.#waiting) {
      if (waiting.by !== from || waiting.as !== as || waiting.attempt !== attempt || !same(waiting.at, at)) continue;
      waiting.answered.ring(t === 'taken');
      if (t === 'refused') waiting.bell.ring('alone');
    }
  }

  onOver(from: NodeId, frame: OverFrame): void {
    const concerned = [...this.#waiting].some(({ at, by }) => by === from && same(at, frame.at));
    if (!concerned) return;
    // What this node heard itself as the aggregator it heard from the group.
    const outcome = from === this.#parts.tools.self ? frame.outcome : this.#certified(frame);
    if (outcome === undefined) {
      void this.#ask(frame.at);
      return;
    }
    this.#doubted.delete(from);
    this.#tell(frame.at, outcome);
  }

  onGone(node: NodeId): void {
    for (const { by, answered, bell } of this.#waiting) {
      if (by !== node) continue;
      answered.ring(false);
      bell.ring('alone');
    }
  }

  #frame(
    arrival: { readonly at: GenerationRef; readonly as: string; readonly attempt: number },
    barrier: KnownBarrier,
  ): ZoneFrame {
    const { tools } = this.#parts;
    const { nonce } = barrier;
    const signature = tools.sign(arrivalBytes({ ...arrival, nonce, zone: tools.zone }));
    const share = barrier.shareOf(tools.zone);
    // Early enough that the first renewal finds the arrival told.
    const patienceMs = share === 0 ? unknownShareMs : Math.min(maxPatienceMs, Math.floor(barrier.renewMs / 4));
    return { t: 'arrive', ...arrival, nonce, zone: tools.zone, signature, share, patienceMs };
  }

  #certified({ at, certificate }: OverFrame): Outcome | undefined {
    const { check, onForged } = this.#parts;
    if (certificate === null || check === undefined) return undefined;
    try {
      const { query, statement } = check(decodeCertificate(certificate));
      const asked = v.safeParse(askedSchema, query);
      const said = v.safeParse(announcementSchema, statement);
      if (asked.success && said.success && same(asked.output.at, at)) return said.output.outcome;
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
    }
    onForged();
    return undefined;
  }

  async #ask(at: GenerationRef): Promise<void> {
    const key = `${at.epoch}/${at.generation}/${at.id}`;
    if (this.#asking.has(key)) return;
    this.#asking.add(key);
    try {
      const standing = await this.#parts.group.outcome(at, {});
      if (standing.state === 'over') this.#tell(at, standing.outcome);
    } catch (error) {
      // Each participant's next renewal finds out.
      if (!(error instanceof QuorateError)) this.#parts.tools.onError(error, 'asking how a barrier ended');
    } finally {
      this.#asking.delete(key);
    }
  }

  #tell(at: GenerationRef, outcome: Outcome): void {
    for (const waiting of this.#waiting) {
      if (!same(waiting.at, at)) continue;
      waiting.answered.ring(true);
      waiting.bell.ring(outcome);
    }
  }
}

const askedSchema = v.strictObject({ kind: v.literal('barrier.outcome'), at: atSchema });

const same = (a: GenerationRef, b: GenerationRef): boolean =>
  a.id === b.id && a.epoch === b.epoch && a.generation === b.generation;
