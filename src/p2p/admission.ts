/**
 * One connection's way from encrypted to admitted: the conversation of `handshake.ts` as a small state
 * machine, used by both networks. It does no I/O: frames come in by `receive`, go out by `port.send`.
 *
 * Invariants. `onAdmitted` and `onRefused` exclude each other, and each happens at most once. Nothing the
 * peer sends throws; what it may not send now is reported as a violation, and the adapter cuts it off.
 */
import { type Decision, decide, type Hello, type HelloFrame, type RefusalCode, type Rival } from './handshake.ts';

export interface AdmissionPort {
  send(frame: HelloFrame): void;
  /** Why the peer may not come in; asked when its hello arrives. */
  denial(): string | undefined;
  /** Another connection with the same peer id, if there is one; asked when its hello arrives. */
  rival(): Rival | undefined;
  /** Asks the rival whether anybody is still there; resolves true when it answers in time. Never rejects. */
  probeRival(): Promise<boolean>;
  /** Drops the rival, which did not answer. */
  dropRival(): void;
  onAdmitted(theirs: Hello): void;
  onRefused(code: RefusalCode, detail: string, by: 'us' | 'them'): void;
  /** The peer is about to close on purpose. */
  onBye(): void;
  onPong(): void;
  onViolation(reason: string): void;
}

export class Admission {
  readonly #mine: Hello;
  readonly #port: AdmissionPort;
  #theirs: Hello | undefined;
  #accepted = false;
  #acceptedByPeer = false;
  #state: 'greeting' | 'admitted' | 'refused' = 'greeting';

  constructor(mine: Hello, port: AdmissionPort) {
    this.#mine = mine;
    this.#port = port;
  }

  /** Decided, either way. */
  get settled(): boolean {
    return this.#state !== 'greeting';
  }

  get refused(): boolean {
    return this.#state === 'refused';
  }

  get admitted(): boolean {
    return this.#state === 'admitted';
  }

  /** The admission was decided here, whatever the peer says. */
  refuse(refusal: Extract<Decision, { type: 'refuse' }>): void {
    if (this.#state === 'greeting') this.#follow(refusal);
  }

  get theirs(): Hello | undefined {
    return this.#theirs;
  }

  start(): void {
    this.#port.send({ type: 'hello', hello: this.#mine });
  }

  /** One decoded frame; undefined stands for bytes that were none. */
  receive(frame: HelloFrame | undefined): void {
    if (this.#state === 'refused') return;
    switch (frame?.type) {
      case 'hello':
        this.#onHello(frame.hello);
        return;
      case 'accept':
        this.#acceptedByPeer = true;
        this.#admitWhenBothAccepted();
        return;
      case 'refuse':
        if (this.#state === 'greeting') this.#refused(frame.code, frame.detail, 'them');
        return;
      case 'bye':
        this.#port.onBye();
        return;
      case 'ping':
        if (this.#state === 'admitted') this.#port.send({ type: 'pong' });
        return;
      case 'pong':
        this.#port.onPong();
        return;
      default:
        this.#port.onViolation('garbage instead of a hello');
        return;
    }
  }

  #onHello(theirs: Hello): void {
    if (this.#theirs !== undefined) {
      this.#port.onViolation('a second hello');
      return;
    }
    this.#theirs = theirs;
    this.#follow(decide({ mine: this.#mine, theirs, denial: this.#port.denial(), rival: this.#port.rival() }));
  }

  #follow(decision: Decision): void {
    switch (decision.type) {
      case 'admit':
        this.#accepted = true;
        this.#port.send({ type: 'accept' });
        this.#admitWhenBothAccepted();
        return;
      case 'refuse':
        this.#port.send(decision);
        this.#refused(decision.code, decision.detail, 'us');
        return;
      case 'probe':
        void this.#port.probeRival().then((answers) => {
          if (this.#state !== 'greeting') return;
          if (answers) this.#follow(decision.otherwise);
          else {
            this.#port.dropRival();
            this.#follow({ type: 'admit' });
          }
        });
    }
  }

  #admitWhenBothAccepted(): void {
    if (!this.#accepted || !this.#acceptedByPeer || this.#theirs === undefined || this.#state !== 'greeting') return;
    this.#state = 'admitted';
    this.#port.onAdmitted(this.#theirs);
  }

  #refused(code: RefusalCode, detail: string, by: 'us' | 'them'): void {
    this.#state = 'refused';
    this.#port.onRefused(code, detail, by);
  }
}
