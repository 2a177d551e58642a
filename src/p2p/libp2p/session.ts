/**
 * What Quorate knows of one libp2p connection: its conversation on the hello stream, and whether it is
 * admitted. Several connections with one peer can exist for a while; `sessions.ts` decides between them.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { Clock } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import { Admission } from '../admission.ts';
import {
  decodeHelloFrame,
  encodeHelloFrame,
  type Hello,
  type HelloFrame,
  maxHelloBytes,
  type RefusalCode,
  type Rival,
} from '../handshake.ts';
import { Libp2pChannel } from './channel.ts';

/** How long both hellos and decisions may take. Generous: a hundred nodes may be starting on this machine. */
const helloTimeoutMs = 10_000;
/** How long the last words of a connection may take to leave. */
const farewellMs = 1_000;
/** An honest peer sends two or three at the start, and later a ping when it sees another connection of this node. Guess. */
const framesPerMinute = 60;
/** How long a rival has to answer a ping. */
const pingTimeoutMs = 1_000;

export type SessionOutcome =
  | { readonly type: 'admitted' }
  | { readonly type: 'refused'; readonly code: RefusalCode; readonly detail: string; readonly by: 'us' | 'them' }
  | { readonly type: 'lost'; readonly why: string };

export interface SessionPort {
  readonly clock: Clock;
  readonly mine: Hello;
  denial(peer: NodeId): string | undefined;
  rival(session: Session): { readonly rival: Rival; readonly session: Session } | undefined;
  reportError(error: unknown, where: string): void;
  onAdmitted(session: Session): void;
  onRefused(session: Session, code: RefusalCode, detail: string, by: 'us' | 'them'): void;
  onViolation(session: Session, reason: string): void;
}

export class Session {
  readonly connection: Connection;
  readonly peer: NodeId;
  readonly admission: Admission;
  /** Resolves once, when it is known whether the connection is admitted. */
  readonly outcome: Promise<SessionOutcome>;
  /** Channels open on it, in both directions. */
  readonly channels = new Set<Libp2pChannel>();
  readonly #port: SessionPort;
  #resolveOutcome: (outcome: SessionOutcome) => void = () => undefined;
  #channel: Libp2pChannel | undefined;
  #rival: Session | undefined;
  #pongWaiters: ((answered: boolean) => void)[] = [];
  #byeReceived = false;
  #closing = false;
  #minute = 0;
  #framesInMinute = 0;
  #aborted = false;
  #over = false;
  #ended: Promise<void> | undefined;

  constructor(connection: Connection, peer: NodeId, port: SessionPort) {
    this.connection = connection;
    this.peer = peer;
    this.#port = port;
    this.outcome = new Promise((resolve) => {
      this.#resolveOutcome = resolve;
    });
    this.admission = this.#newAdmission();
    port.clock.after(helloTimeoutMs, () => {
      if (!this.#over && !this.admission.settled) this.abort(`no hello within ${helloTimeoutMs} ms`);
    });
  }

  get outbound(): boolean {
    return this.connection.direction === 'outbound';
  }

  get admitted(): boolean {
    return !this.#over && !this.#closing && this.admission.admitted;
  }

  /** Live, with the peer's hello known, whether decided or not. */
  get greeted(): boolean {
    return !this.#over && !this.#closing && this.admission.theirs !== undefined && !this.admission.refused;
  }

  /** The connection ended on purpose of one of the two sides. */
  get graceful(): boolean {
    return this.#byeReceived || this.#closing;
  }

  /** Takes the hello stream: the first one is it, another is a violation. */
  greetOn(stream: Stream): void {
    if (this.#channel !== undefined || this.#over) {
      stream.abort(new Error('One hello stream is enough.'));
      if (this.#channel !== undefined) this.#port.onViolation(this, 'a second hello stream');
      return;
    }
    const channel = new Libp2pChannel(stream, this.peer, maxHelloBytes, {
      clock: this.#port.clock,
      reportError: (error, where) => this.#port.reportError(error, where),
      onEnd: () => undefined,
      onViolation: (_, reason) => this.#port.onViolation(this, reason),
    });
    this.#channel = channel;
    channel.listen({
      onFrame: (frame) => {
        if (this.#isFlood()) this.#onViolation('a flood of frames on the hello stream');
        else this.admission.receive(decodeHelloFrame(frame));
      },
      onClose: (error) => {
        if (!this.#over && !this.#closing && !this.#byeReceived) this.abort(error?.message ?? 'hello stream closed');
      },
    });
    this.admission.start();
  }

  /** True when the other end answers within a second. */
  ping(): Promise<boolean> {
    if (!this.admitted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = this.#port.clock.after(pingTimeoutMs, () => resolve(false));
      this.#pongWaiters.push((answered) => {
        timer.cancel();
        resolve(answered);
      });
      this.#send({ type: 'ping' });
    });
  }

  /** Says goodbye, lets everything queued leave, and closes the connection. */
  async close(): Promise<void> {
    if (!this.#closing && !this.#over) {
      this.#closing = true;
      if (this.admission.admitted) this.#send({ type: 'bye' });
      this.#ended = this.#endConnection();
    }
    await this.#ended;
  }

  abort(why: string): void {
    // Ending the connection ends the hello stream, whose end comes back here: libp2p throws when it is aborted twice.
    if (this.#over || this.#aborted) return;
    this.#aborted = true;
    this.#resolveOutcome({ type: 'lost', why });
    this.#cut(new Error(why));
  }

  /** The connection is gone. */
  onClosed(): void {
    this.#over = true;
    this.#resolveOutcome({ type: 'lost', why: 'the connection closed before both sides agreed' });
    for (const waiter of this.#pongWaiters.splice(0)) waiter(false);
  }

  #newAdmission(): Admission {
    return new Admission(this.#port.mine, {
      send: (frame) => this.#send(frame),
      denial: () => this.#port.denial(this.peer),
      rival: () => {
        const found = this.#port.rival(this);
        this.#rival = found?.session;
        return found?.rival;
      },
      probeRival: () => this.#rival?.ping() ?? Promise.resolve(false),
      dropRival: () => this.#rival?.abort('it did not answer, and its peer connected anew'),
      onAdmitted: () => {
        this.#port.onAdmitted(this);
        this.#resolveOutcome({ type: 'admitted' });
      },
      onRefused: (code, detail, by) => {
        this.#closing = true;
        this.#port.onRefused(this, code, detail, by);
        this.#resolveOutcome({ type: 'refused', code, detail, by });
        this.#ended = this.#endConnection();
      },
      onBye: () => {
        this.#byeReceived = true;
      },
      onPong: () => {
        for (const waiter of this.#pongWaiters.splice(0)) waiter(true);
      },
      onViolation: (reason) => this.#onViolation(reason),
    });
  }

  #onViolation(reason: string): void {
    this.#port.onViolation(this, reason);
    this.abort(reason);
  }

  #isFlood(): boolean {
    const minute = Math.floor(this.#port.clock.now() / 60_000);
    if (minute !== this.#minute) this.#framesInMinute = 0;
    this.#minute = minute;
    this.#framesInMinute += 1;
    return this.#framesInMinute > framesPerMinute;
  }

  #send(frame: HelloFrame): void {
    const channel = this.#channel;
    if (channel === undefined || channel.closed) return;
    // A peer that asks without reading the answers: an honest one never gets near the mark.
    if (!channel.send(encodeHelloFrame(frame))) this.abort('it does not read its hello stream');
  }

  /** Flushes the hello stream, then closes; never rejects, and never takes much longer than a second. */
  async #endConnection(): Promise<void> {
    const { clock } = this.#port;
    const timer = clock.after(farewellMs, () => {
      if (!this.#over) this.#cut(new Error('The peer took too long to say goodbye.'));
    });
    try {
      await this.#channel?.close();
      await this.#channel?.gone;
      await this.connection.close();
    } catch (error) {
      this.#cut(error instanceof Error ? error : new Error(String(error)));
    } finally {
      timer.cancel();
    }
  }

  #cut(reason: Error): void {
    try {
      this.connection.abort(reason);
    } catch (error) {
      this.#port.reportError(error, 'ending a connection'); // From a timer it would end the process.
    }
  }
}
