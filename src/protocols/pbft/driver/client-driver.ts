/**
 * Runs a client's core on a real clock and network, and gives promises for what it settles. Every promise ends by its deadline,
 * and says whether the command has run, has not, or may have.
 */
import type { Clock } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { type ClientState, createClient, stepClient } from '../client.ts';
import type { ClientInput, ClientOptions, CommandOutcome } from '../client-contract.ts';
import { encodeMessage } from '../encoding.ts';
import { type Group, quorumOf, weakQuorumOf } from '../group.ts';
import type { CatchUp, Message } from '../messages.ts';
import { type Accepted, inspect, type SignatureClaim, type ValidationContext, type Verdict } from '../validate.ts';
import { Alarm } from './alarm.ts';
import type { SignatureVerifier } from './verifier.ts';

export interface ClientDriverParts {
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly context: ValidationContext & { readonly groups: Map<number, Group> };
  readonly group: Group;
  readonly clock: Clock;
  readonly verifier: SignatureVerifier;
  readonly send: (to: NodeId, bytes: Uint8Array) => void;
  readonly onRefused: (from: NodeId, verdict: Verdict) => void;
  /** Other validators rule from now on; `proof` shows it to whoever knew the group before. */
  readonly onGroup: (group: Group, proof: CatchUp) => void;
  readonly options?: Partial<ClientOptions>;
  /** Runs what it is given after the present turn of the event loop. Default `setImmediate`. */
  readonly defer?: (run: () => void) => void;
}

export interface ClientRequestOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Waiting {
  settle(outcome: CommandOutcome): void;
  fail(error: QuorateError): void;
}

export class ClientDriver {
  readonly #parts: ClientDriverParts;
  readonly #state: ClientState;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  readonly #alarm: Alarm;
  #stopped = false;
  #flushing = false;
  readonly #gathered: ClientInput[] = [];
  readonly #defer: (run: () => void) => void;

  constructor(parts: ClientDriverParts) {
    this.#parts = parts;
    this.#defer = parts.defer ?? setImmediate;
    this.#alarm = new Alarm(parts.clock, () => this.#feed({ type: 'wake' }));
    this.#state = createClient({
      self: parts.self,
      sign: parts.sign,
      context: parts.context,
      group: parts.group,
      incarnation: Math.floor(parts.clock.wallNow()),
      ...(parts.options === undefined ? {} : { options: parts.options }),
    });
  }

  /** The validators as far as this client knows. */
  get group(): Group {
    return this.#state.group;
  }

  /** The validators of an epoch that was proved to this client. */
  groupAt(epoch: number): Group | undefined {
    return this.#state.context.groups.get(epoch);
  }

  /** Commands that were not answered yet. */
  get pending(): number {
    return this.#waiting.size;
  }

  /**
   * Orders a command and gives its result. Rejects with `NO_QUORUM` (never sent), `UNKNOWN_OUTCOME`, `REJECTED` (overloaded, or the
   * validators could not run it), `STOPPED`, or the reason of the signal.
   */
  submit(command: Uint8Array, options: ClientRequestOptions): Promise<Uint8Array> {
    const { timeoutMs } = options;
    return this.#ask((id) => ({ type: 'submit', id, command, timeoutMs }), options, resultOf);
  }

  /**
   * Answers without ordering where a quorum agrees; `ordered` gives the answer where it does not. Without `ordered`: perhaps an old state.
   * Rejects like `submit`, but never with `UNKNOWN_OUTCOME`: whether a read was ordered is nobody's concern.
   */
  read(query: Uint8Array, ordered: Uint8Array | undefined, options: ClientRequestOptions): Promise<Uint8Array> {
    const { timeoutMs } = options;
    const more = ordered === undefined ? {} : { ordered };
    return this.#ask((id) => ({ type: 'read', id, query, timeoutMs, ...more }), options, readingOf);
  }

  /** Votes for other validators, as one of the present ones. Gives the sequence after which they rule; 0 while votes are missing. */
  reconfigure(validators: readonly NodeId[], f: number, options: ClientRequestOptions): Promise<number> {
    return this.#ask(
      (id) => ({ type: 'reconfigure', id, validators, f }),
      options,
      (outcome) => {
        if (outcome.kind === 'voted') return outcome.effective;
        throw new QuorateError(
          'NOT_PERMITTED',
          'The vote for other validators was not counted: this node is no validator, the set is unsound, or another change is under way. Look at `validators.status()`.',
          { reason: 'refused', validators, f },
        );
      },
    );
  }

  /** Bytes from a peer that are meant for a client. Never throws. */
  receive(from: NodeId, bytes: Uint8Array): void {
    if (this.#stopped) return;
    const inspected = inspect(bytes, from, this.#state.context);
    if (!inspected.ok) {
      this.#parts.onRefused(from, inspected.verdict);
      return;
    }
    const { accepted, claims } = inspected;
    const { message } = accepted;
    if (message.type !== 'catchUp') this.#feed({ type: 'message', accepted });
    else if (message.checkpoint.head.group.epoch > this.#state.group.epoch) {
      void this.#learn(from, accepted, message, claims);
    }
  }

  /** A way of many epochs has many signatures; they are checked in the pool. */
  async #learn(from: NodeId, accepted: Accepted, proof: CatchUp, claims: readonly SignatureClaim[]): Promise<void> {
    const good = await this.#parts.verifier.verifyAll(claims);
    if (this.#stopped) return;
    if (!good) {
      this.#parts.onRefused(from, 'bad-signature');
      return;
    }
    const before = this.#state.group;
    this.#feed({ type: 'message', accepted });
    if (this.#state.group !== before) this.#parts.onGroup(this.#state.group, proof);
  }

  stop(): void {
    this.#stopped = true;
    this.#alarm.cancel();
    const error = new QuorateError('STOPPED', 'This mesh has stopped; what was under way may have been ordered.');
    for (const waiting of [...this.#waiting.values()]) waiting.fail(error);
    this.#waiting.clear();
  }

  #ask<T>(
    input: (id: number) => ClientInput,
    { signal }: ClientRequestOptions,
    read: (outcome: CommandOutcome, group: Group) => T,
  ): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#stopped) return Promise.reject(new QuorateError('STOPPED', 'This mesh has stopped; create another.'));
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(id);
        this.#feed({ type: 'forget', id });
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(id, {
        settle: (outcome) => {
          signal?.removeEventListener('abort', onAbort);
          try {
            resolve(read(outcome, this.#state.group));
          } catch (error) {
            reject(error);
          }
        },
        fail: (error) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      });
      this.#gather(input(id));
    });
  }

  /** What one turn of the event loop submits travels together, under one signature: callers that were woken by one message ask again together. */
  #gather(input: ClientInput): void {
    this.#gathered.push(input);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#defer(() => {
      this.#flushing = false;
      this.#feed({ type: 'together', inputs: this.#gathered.splice(0) });
    });
  }

  #feed(input: ClientInput): void {
    if (this.#stopped) return;
    const { clock } = this.#parts;
    const now = { monotonicMs: clock.now(), wallMs: clock.wallNow() };
    for (const effect of stepClient(this.#state, input, now)) {
      if (effect.type === 'send') this.#send(effect.to, effect.message);
      else if (effect.type === 'wake') this.#alarm.set(effect.atMs);
      else {
        const waiting = this.#waiting.get(effect.id);
        this.#waiting.delete(effect.id);
        waiting?.settle(effect.outcome);
      }
    }
  }

  #send(to: readonly NodeId[], message: Message): void {
    const bytes = encodeMessage(message);
    for (const peer of to) this.#parts.send(peer, bytes);
  }
}

/** The result of a command or read, or the error that says what became of it. */
function resultOf(outcome: CommandOutcome, group: Group): Uint8Array {
  switch (outcome.kind) {
    case 'result':
      if (outcome.result.ok) return outcome.result.value;
      throw new QuorateError(
        'REJECTED',
        outcome.result.reason === 'too-large'
          ? 'The command has run, but its result is larger than the group allows, so it was withheld. Ask for less.'
          : 'The validators could not run this command; it changed nothing.',
        { reason: outcome.result.reason },
      );
    case 'unsent':
      throw new QuorateError(
        'NO_QUORUM',
        `Too few validators answer: ${quorumOf(group)} of ${group.validators.length} are needed (f = ${group.f}), and nothing was heard from ${list(outcome.silent)}. The command was not sent; sending again is safe.`,
        missing(group, outcome.silent),
      );
    case 'unknown':
      throw new QuorateError(
        'UNKNOWN_OUTCOME',
        `The command was sent, and ${equalAnswers(weakQuorumOf(group))} did not come in time; ${list(outcome.silent)} did not answer. It may have run, or may still. Read the state before you repeat it.`,
        { reason: 'no-quorum', ...missing(group, outcome.silent) },
      );
    case 'overloaded':
      throw new QuorateError('REJECTED', 'Too many commands of this node wait for the validators; slow down.', {
        reason: 'overloaded',
      });
    default:
      throw new QuorateError('WRONG_VERSION', `The validators answered a command with '${outcome.kind}'.`);
  }
}

function readingOf(outcome: CommandOutcome, group: Group): Uint8Array {
  if (outcome.kind !== 'unknown') return resultOf(outcome, group);
  throw new QuorateError(
    'NO_QUORUM',
    `Too few validators answered alike in time; ${list(outcome.silent)} did not answer. A read changes nothing; asking again is safe.`,
    missing(group, outcome.silent),
  );
}

const equalAnswers = (needed: number): string => (needed === 1 ? 'an answer' : `${needed} equal answers`);

const list = (ids: readonly NodeId[]): string => (ids.length === 0 ? 'nobody in particular' : ids.join(', '));

function missing(group: Group, silent: readonly NodeId[]): Record<string, unknown> {
  const answering = group.validators.filter((id) => !silent.includes(id));
  return { validators: group.validators, f: group.f, needed: quorumOf(group), answering, silent };
}
