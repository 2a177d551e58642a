/**
 * Order by the validators of the mesh. Every node is a client of theirs; a node that is one of them also runs a replica, in this process.
 *
 * Which group that is comes from the options, from an earlier start, or from peers (`learning.ts`); who rules now is then learnt with proof. Until a group is
 * known, whatever is asked waits, and ends with `NO_VALIDATORS` at its deadline.
 */
import type { Clock } from '../../../clock.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { Identity } from '../../../identity.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Network } from '../../../p2p/network.ts';
import { ClientDriver } from '../../pbft/driver/client-driver.ts';
import { PeerLinks } from '../../pbft/driver/links.ts';
import { SignatureVerifier } from '../../pbft/driver/verifier.ts';
import type { WriteAheadLog } from '../../pbft/driver/write-ahead-log.ts';
import type { ReplicaEvent } from '../../pbft/effects.ts';
import { decodeMessage, encodeMessage } from '../../pbft/encoding.ts';
import { type Group, isValidator } from '../../pbft/group.ts';
import { type CatchUp, messageNumbers } from '../../pbft/messages.ts';
import { createReplica } from '../../pbft/state.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { type CoordinationMachine, orderedRead } from '../machine/machine.ts';
import type { Ordering, OrderingOptions, ReadConsistency, Subscriber } from '../ordering.ts';
import { Certifier } from './certifier.ts';
import { defineGroup, encodeDefinition, type GroupDefinition } from './definition.ts';
import { EventFeed } from './event-feed.ts';
import { decodeGroupFrame, encodeGroupFrame, type GroupFrame, groupProtocol, maxGroupFrameBytes } from './frames.ts';
import { InboundBudget } from './inbound-budget.ts';
import { Introductions } from './introductions.ts';
import { acceptable, idOf } from './learning.ts';
import { Questions } from './questions.ts';
import { Succession } from './succession.ts';
import type { Validator } from './validator.ts';
import { ValidatorSeat } from './validator-seat.ts';

export const pbftProtocol = '/quorate/pbft/1';
/** A new view of seven validators with full windows has about 3 MB; larger messages are not sent. */
const maxPbftFrameBytes = 16 << 20;

export interface GroupOptions {
  /** The founders, the same at each of them; undefined: learnt from peers. */
  readonly founders: { readonly validators: readonly NodeId[]; readonly f: number } | undefined;
  /** Hexadecimal id of the only group to accept from peers. */
  readonly pinned: string | undefined;
  /** How long anything takes at most that names no deadline. */
  readonly timeoutMs: number;
  /** Second every change of validators that another validator has voted for. */
  readonly trustChanges: boolean;
}

/** What is kept of the group between starts. */
export interface GroupMemory {
  load(): Promise<Uint8Array | undefined>;
  save(definition: Uint8Array): Promise<void>;
}

export interface GroupOrderingParts {
  readonly identity: Identity;
  readonly meshName: string;
  readonly network: Network;
  readonly clock: Clock;
  readonly ensureConnected: (peer: NodeId, signal?: AbortSignal) => Promise<void>;
  readonly makeMachine: () => CoordinationMachine;
  /** The log of this node as a validator; rejects when it may not or cannot have one. */
  readonly openLog: (definition: GroupDefinition) => Promise<WriteAheadLog>;
  readonly memory: GroupMemory;
  /** Whether this node has been a validator of the group: then its log says whether it still is, also when nobody else is there to tell. */
  readonly validatedBefore: (definition: GroupDefinition) => Promise<boolean>;
  /** Default: one of its own. */
  readonly verifier?: SignatureVerifier;
  /** As in `ClientDriver`. */
  readonly defer?: (run: () => void) => void;
  readonly options: GroupOptions;
  readonly onMisbehaviour: (peer: NodeId, reason: string) => void;
  readonly onListenerError: (error: unknown, where: string) => void;
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: Record<string, unknown>) => void;
  readonly onEvent: (event: GroupEvent) => void;
}

export type GroupEvent =
  | { readonly kind: 'learned'; readonly definition: GroupDefinition }
  | { readonly kind: 'group'; readonly group: Group }
  /** The replica of this process runs. */
  | { readonly kind: 'validating' }
  | { readonly kind: 'replica'; readonly event: ReplicaEvent }
  | { readonly kind: 'failed'; readonly error: QuorateError };

export interface Health {
  readonly epoch: number;
  readonly view: number;
  readonly active: boolean;
  readonly executed: number;
  readonly stable: number;
  readonly logBytes: number;
}

/** What no honest peer sends. The others can come of a change of validators. */
const violations: ReadonlySet<string> = new Set([
  'too-large',
  'malformed',
  'impersonation',
  'bad-digest',
  'bad-certificate',
  'bad-signature',
]);

/** A request signed for another group counts as this many more, so that a flood of them gets a check of signatures now and then. */
const foreignRequestCost = 100;

export class GroupOrdering implements Ordering {
  readonly #parts: GroupOrderingParts;
  readonly #verifier: SignatureVerifier;
  readonly #budget: InboundBudget;
  readonly #messages: PeerLinks;
  readonly #frames: PeerLinks;
  readonly #certifier: Certifier;
  readonly #health: Questions<Health>;
  readonly #introductions: Introductions;
  readonly #stopping = new AbortController();
  readonly #known: Promise<void>;
  #tellKnown: () => void = () => undefined;
  #definition: GroupDefinition | undefined;
  #client: ClientDriver | undefined;
  #events: EventFeed | undefined;
  readonly #seat: ValidatorSeat;
  readonly #succession = new Succession();
  readonly #unsubscribe: (() => void)[] = [];
  readonly refused = new Map<string, number>();

  /** To be made before the network starts. */
  constructor(parts: GroupOrderingParts) {
    this.#parts = parts;
    const { network, clock, ensureConnected } = parts;
    this.#verifier = parts.verifier ?? new SignatureVerifier();
    this.#budget = new InboundBudget(clock);
    this.#certifier = new Certifier(clock, this.#verifier, (group, frame) => this.#tellAll(group, frame));
    this.#health = new Questions(clock);
    this.#seat = new ValidatorSeat(
      () => {
        this.#tellClient();
        parts.onEvent({ kind: 'validating' });
      },
      (error) => parts.onEvent({ kind: 'failed', error }),
    );
    this.#known = new Promise((resolve) => {
      this.#tellKnown = resolve;
    });
    this.#messages = new PeerLinks({
      network,
      clock,
      ensureConnected,
      protocol: pbftProtocol,
      maxFrameBytes: maxPbftFrameBytes,
      onMessage: (from, bytes) => this.#onMessage(from, bytes),
      // A validator that died is noticed by its broken channel: try it at once, and suspect it when that fails.
      onClosed: (peer) => {
        if (this.#isValidator(peer)) this.#messages.probe(peer);
      },
      onUnreachable: (peer) => this.validator?.unreachable(peer),
    });
    this.#frames = new PeerLinks({
      network,
      clock,
      ensureConnected,
      protocol: groupProtocol,
      maxFrameBytes: maxGroupFrameBytes,
      onMessage: (from, bytes) => this.#onFrame(from, bytes),
      onOpened: (peer) => this.#events?.resubscribe(peer),
      onClosed: (peer) => {
        if (this.#isValidator(peer)) this.#frames.probe(peer);
      },
      onGone: (peer) => this.validator?.forget(peer),
    });
    this.#introductions = new Introductions({
      meshName: parts.meshName,
      pinned: parts.options.pinned,
      clock,
      peers: () => network.peers(),
      tell: (to, frame) => this.#tell(to, frame),
      definition: () => this.#definition,
      way: () => this.validator?.catchUp() ?? this.#succession.encoded,
      onLearned: (definition, from) => {
        parts.log('info', `Learned the validators of this mesh from ${from.join(', ')}.`, { group: idOf(definition) });
        void this.#remember(definition);
        this.#open(definition);
      },
      onWay: (from, way) => this.#client?.receive(from, way),
      onConflict: (message) => parts.log('error', message),
      onRefused: (reason) => this.#count(reason),
    });
  }

  get self(): NodeId {
    return this.#parts.identity.id;
  }

  /**
   * Founds or finds the group. Resolves when this node's replica runs, if it has one; a group still to be learnt is not waited for.
   * Rejects when this node must be a validator and cannot.
   */
  async start(): Promise<void> {
    const { options, meshName, network, memory } = this.#parts;
    this.#unsubscribe.push(
      network.on('peer:connected', ({ peer }) => this.#introductions.ask(peer)),
      network.on('peer:disconnected', ({ peer }) => this.#introductions.disconnected(peer)),
    );
    const { founders } = options;
    const definition =
      founders === undefined
        ? acceptable((await memory.load()) ?? new Uint8Array(0), meshName, options.pinned)
        : defineGroup(meshName, founders.validators, founders.f);
    for (const peer of network.peers()) this.#introductions.ask(peer);
    if (definition === undefined) return;
    if (founders !== undefined) await this.#remember(definition);
    this.#open(definition);
    const validates = isValidator(definition.founders, this.self) || (await this.#parts.validatedBefore(definition));
    if (validates) await this.#validate(definition);
    if (this.failure !== undefined) throw this.failure;
  }

  async submit(command: Uint8Array, options: OrderingOptions = {}): Promise<Uint8Array> {
    const { client, timeoutMs } = await this.#ready(options);
    return this.#answered(client.submit(command, { timeoutMs, signal: options.signal }));
  }

  async query(
    query: Uint8Array,
    options: OrderingOptions & { readonly consistency?: ReadConsistency } = {},
  ): Promise<Uint8Array> {
    const { client, timeoutMs } = await this.#ready(options);
    const local = options.consistency === 'local';
    if (local && this.validator !== undefined) return this.validator.query(query);
    return this.#answered(
      client.read(query, local ? undefined : orderedRead(query), { timeoutMs, signal: options.signal }),
    );
  }

  subscribe(topic: string, subscriber: Subscriber): () => void {
    if (this.#events !== undefined) return this.#events.subscribe(topic, subscriber);
    // No group is known yet; the subscription is made when one is.
    let remove: (() => void) | undefined;
    let wanted = true;
    void this.#known.then(() => {
      if (wanted) remove = this.#events?.subscribe(topic, subscriber);
    });
    return () => {
      wanted = false;
      remove?.();
    };
  }

  async certify(query: Uint8Array, options: OrderingOptions = {}): Promise<Certificate> {
    const { client, definition, timeoutMs } = await this.#ready(options);
    return this.#certifier.certify(definition, client.group, query, { timeoutMs, signal: options.signal });
  }

  /** Votes for other validators as one of the present ones. Gives the sequence after which they rule, 0 while votes are missing. */
  async reconfigure(validators: readonly NodeId[], f: number, options: OrderingOptions = {}): Promise<number> {
    const { client, timeoutMs } = await this.#ready(options);
    return client.reconfigure(validators, f, { timeoutMs, signal: options.signal });
  }

  /** How each validator is doing; undefined for those that do not answer. */
  async health(options: OrderingOptions = {}): Promise<ReadonlyMap<NodeId, Health | undefined>> {
    const { client, timeoutMs } = await this.#ready(options);
    const { validators } = client.group;
    const { answers } = await this.#health.put(
      validators,
      (id) => this.#tellAll(client.group, { type: 'health', id }),
      () => undefined,
      { timeoutMs, signal: options.signal },
    );
    return new Map(validators.map((id) => [id, answers.get(id)]));
  }

  /** The group as far as it is known here. */
  get definition(): GroupDefinition | undefined {
    return this.#definition;
  }

  get group(): Group | undefined {
    return this.#client?.group;
  }

  /** The validators of an epoch that was proved to this node. */
  groupAt(epoch: number): Group | undefined {
    return this.#client?.groupAt(epoch);
  }

  /** The replica of this process, if it is a validator. */
  get validator(): Validator | undefined {
    return this.#seat.validator;
  }

  /** Why the validator of this process has stopped. */
  get failure(): QuorateError | undefined {
    return this.#seat.failure;
  }

  get pending(): number {
    return this.#client?.pending ?? 0;
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort(new QuorateError('STOPPED', 'This mesh has stopped; create another.'));
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#introductions.stop();
    this.#client?.stop();
    this.#events?.stop();
    await this.#seat.stop();
    this.#messages.stop();
    this.#frames.stop();
  }

  // The group.

  async #remember(definition: GroupDefinition): Promise<void> {
    try {
      await this.#parts.memory.save(encodeDefinition(definition));
    } catch (error) {
      this.#parts.onListenerError(error, 'noting the group of validators');
    }
  }

  #open(definition: GroupDefinition): void {
    if (this.#definition !== undefined || this.#stopping.signal.aborted) return;
    const { identity, clock, onListenerError } = this.#parts;
    this.#definition = definition;
    const { name, founders, parameters } = definition;
    // A replica that never runs, for what everybody derives from the founding state.
    const application = this.#parts.makeMachine();
    const { context } = createReplica({
      self: this.self,
      sign: identity.sign,
      name,
      founders,
      parameters,
      application,
    });
    this.#client = new ClientDriver({
      self: this.self,
      sign: this.#sign,
      context,
      group: founders,
      clock,
      verifier: this.#verifier,
      send: (to, bytes) => this.#messages.send(to, bytes),
      onRefused: (from, verdict) => this.#onRefused(from, verdict),
      onGroup: (group, proof) => this.#onGroup(group, proof),
      ...(this.#parts.defer === undefined ? {} : { defer: this.#parts.defer }),
    });
    this.#events = new EventFeed(founders, (to, frame) => this.#tell(to, frame), onListenerError);
    this.#parts.onEvent({ kind: 'learned', definition });
    this.#tellKnown();
    if (isValidator(founders, this.self)) void this.#validate(definition);
  }

  #onGroup(group: Group, proof: CatchUp): void {
    this.#succession.learn(proof);
    this.#events?.useGroup(group);
    this.#parts.onEvent({ kind: 'group', group });
    if (isValidator(group, this.self) && this.#definition !== undefined) void this.#validate(this.#definition);
  }

  /** Takes the place of a validator, once. */
  #validate(definition: GroupDefinition): Promise<void> {
    const { identity, clock, onEvent } = this.#parts;
    return this.#seat.take({
      definition,
      identity,
      clock,
      sign: this.#sign,
      machine: this.#parts.makeMachine(),
      openLog: () => this.#parts.openLog(definition),
      verifier: this.#verifier,
      send: (to, bytes) => this.#messages.send(to, bytes),
      tell: (to, frame) => this.#tell(to, frame),
      submit: (command) => this.submit(command),
      onRefused: (from, verdict) => this.#onRefused(from, verdict),
      onEvent: (event) => {
        this.#onReplicaEvent(event);
        onEvent({ kind: 'replica', event });
      },
    });
  }

  /** What the replica knows of later validators, the client of this node shall know as well. */
  #tellClient(): void {
    const proof = this.validator?.catchUp();
    if (proof !== undefined) this.#client?.receive(this.self, proof);
  }

  #onReplicaEvent(event: ReplicaEvent): void {
    if (event.kind === 'epoch') this.#tellClient();
    if (event.kind !== 'executed' || !this.#parts.options.trustChanges) return;
    for (const { request } of event.results) {
      const { operation, client } = request;
      if (operation.kind !== 'reconfigure' || client === this.self) continue;
      if (this.validator?.nextGroup !== undefined || !this.#isValidator(client) || !this.#isValidator(this.self))
        continue;
      this.reconfigure(operation.validators, operation.f).catch((error: unknown) => {
        this.#parts.onListenerError(error, 'seconding a change of validators');
      });
    }
  }

  /** What this node signed it need not check when it comes back. */
  readonly #sign = (bytes: Uint8Array): Uint8Array => {
    const signature = this.#parts.identity.sign(bytes);
    this.#verifier.remember({ signer: this.self, bytes, signature });
    return signature;
  };

  #isValidator(peer: NodeId): boolean {
    return this.group?.validators.includes(peer) === true;
  }

  async #ready(
    options: OrderingOptions,
  ): Promise<{ client: ClientDriver; definition: GroupDefinition; timeoutMs: number }> {
    const { clock, options: defaults } = this.#parts;
    const timeoutMs = options.timeoutMs ?? defaults.timeoutMs;
    options.signal?.throwIfAborted();
    this.#stopping.signal.throwIfAborted();
    if (this.#client !== undefined && this.#definition !== undefined) {
      return { client: this.#client, definition: this.#definition, timeoutMs };
    }
    const began = clock.now();
    await this.#untilKnown(timeoutMs, options.signal);
    const left = Math.max(1, timeoutMs - (clock.now() - began));
    return this.#ready({ ...options, timeoutMs: left });
  }

  #untilKnown(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const stopping = this.#stopping.signal;
    this.#introductions.askAll();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        stopping.removeEventListener('abort', onStop);
        settle();
      };
      const onAbort = (): void => end(() => reject(signal?.reason));
      const onStop = (): void => end(() => reject(stopping.reason));
      const timer = this.#parts.clock.after(timeoutMs, () =>
        end(() => reject(noValidators(this.#introductions.heard))),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      stopping.addEventListener('abort', onStop, { once: true });
      void this.#known.then(() => end(resolve));
    });
  }

  // The network.

  /** Nobody answers: others may rule by now. */
  async #answered<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (isQuorateError(error, 'NO_QUORUM') || isQuorateError(error, 'UNKNOWN_OUTCOME')) this.#introductions.askAll();
      throw error;
    }
  }

  #tellAll(group: Group, frame: GroupFrame): void {
    for (const validator of group.validators) this.#tell(validator, frame);
  }

  #onMessage(from: NodeId, bytes: Uint8Array): void {
    const number = bytes[0] ?? 0;
    if (from !== this.self && !this.#budget.allowsMessage(from, number)) {
      this.#count('agreement: over its rate');
      return;
    }
    if (number === messageNumbers.reply || number === messageNumbers.readReply) {
      this.#client?.receive(from, bytes);
      return;
    }
    if (number === messageNumbers.catchUp) this.#client?.receive(from, bytes);
    if (this.validator !== undefined) this.validator.receive(from, bytes);
    else if (number === messageNumbers.status) this.#onStatus(from, bytes);
  }

  /** Validators of a later epoch tell those they have just elected, who may not know yet. */
  #onStatus(from: NodeId, bytes: Uint8Array): void {
    const { definition, group } = { definition: this.#definition, group: this.group };
    if (definition === undefined || group === undefined) return;
    const decoded = decodeMessage(bytes, definition.parameters);
    if (typeof decoded === 'string' || decoded.message.type !== 'status') return;
    if (decoded.message.epoch <= group.epoch) return;
    const nothing = { view: 0, active: true, suspects: false, stable: 0, executed: 0, viewChanges: [], slots: [] };
    this.#messages.send(from, encodeMessage({ type: 'status', epoch: group.epoch, ...nothing }));
  }

  #onFrame(from: NodeId, bytes: Uint8Array): void {
    const frame = decodeGroupFrame(bytes);
    if (frame === undefined) {
      this.#onRefused(from, 'malformed');
      return;
    }
    if (from !== this.self && !this.#budget.allowsFrame(from, frame.type)) {
      this.#count('coordination: over its rate');
      return;
    }
    switch (frame.type) {
      case 'which':
        this.#introductions.onWhich(from);
        break;
      case 'group':
        this.#introductions.onGroup(from, frame);
        break;
      case 'certified':
        this.#certifier.onCertified(from, frame);
        break;
      case 'healthy':
        this.#health.answer(from, frame.id, healthOf(frame));
        break;
      case 'subscribed':
      case 'event':
      case 'gap':
        this.#events?.onFrame(from, frame);
        break;
      default:
        this.validator?.onFrame(from, frame);
    }
  }

  /** What does not fit a frame (a way from the founders over very many changes of validators) is not sent; who asked finds it missing. */
  #tell(to: NodeId, frame: GroupFrame): void {
    let bytes: Uint8Array;
    try {
      bytes = encodeGroupFrame(frame);
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      this.#count('coordination: too large to send');
      return;
    }
    this.#frames.send(to, bytes);
  }

  #onRefused(from: NodeId, verdict: string): void {
    this.#count(`agreement: ${verdict}`);
    if (verdict === 'foreign-request') this.#budget.charge(from, messageNumbers.request, foreignRequestCost);
    if (violations.has(verdict) && from !== this.self) this.#parts.onMisbehaviour(from, `agreement: ${verdict}`);
  }

  #count(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }
}

function healthOf({ epoch, view, active, executed, stable, logBytes }: Health): Health {
  return { epoch, view, active, executed, stable, logBytes };
}

function noValidators(asked: readonly NodeId[]): QuorateError {
  return new QuorateError(
    'NO_VALIDATORS',
    'This mesh has no validators that this node knows of. Found a group by `coordination: { validators: [...] }` on the founders, or check that a bootstrap peer belongs to a mesh that has one.',
    { asked },
  );
}
