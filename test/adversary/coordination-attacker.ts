/**
 * A mesh with four validators that bear one liar, an honest member beside them, and hands for whoever attacks it: streams of the agreement protocol and of
 * coordination, written by hand.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { createIdentity, type Identity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../src/payload.ts';
import { defineGroup, type GroupDefinition } from '../../src/protocols/coordination/group/definition.ts';
import {
  decodeGroupFrame,
  encodeGroupFrame,
  type GroupFrame,
  groupProtocol,
} from '../../src/protocols/coordination/group/frames.ts';
import { pbftProtocol } from '../../src/protocols/coordination/group/group-ordering.ts';
import { decodeMessage, encodeMessage, requestBody, requestBytes } from '../../src/protocols/pbft/encoding.ts';
import { bodyBytes, type Message, type Operation, type Request } from '../../src/protocols/pbft/messages.ts';
import { type CommandResult, decodeOutcome } from '../../src/protocols/pbft/outcome.ts';
import type { Value } from '../../src/value.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { HonestMesh, type HonestNode } from './honest-mesh.ts';
import type { RawStream } from './raw-stream.ts';

const metadata = { capabilities: ['work'] };
let tries = 0;

/** Three honest validators, a fourth whose key the test has, and an honest member that is none. */
export class BesiegedMesh {
  readonly honest: HonestMesh;
  readonly definition: GroupDefinition;
  /** Of the fourth validator. It is the last in line, so the group begins with an honest primary. */
  readonly liar: Identity;
  readonly #directories: readonly string[];

  private constructor(honest: HonestMesh, definition: GroupDefinition, liar: Identity, directories: readonly string[]) {
    this.honest = honest;
    this.definition = definition;
    this.liar = liar;
    this.#directories = directories;
  }

  static async start(name: string): Promise<BesiegedMesh> {
    const directories = await Promise.all([0, 1, 2].map((n) => mkdtemp(join(tmpdir(), `quorate-siege-${n}-`))));
    const ids = await Promise.all(directories.map((path) => ensureNodeKey(path)));
    const highest = ids.toSorted().at(-1) as NodeId;
    let liar = createIdentity();
    while (liar.id < highest) liar = createIdentity();
    const validators = [...ids, liar.id];
    const honest = HonestMesh.empty(name);
    const coordination = { validators, f: 1, durable: false };
    for (const dataDir of directories) await honest.add({ dataDir, coordination });
    await honest.add();
    await honest.isWell();
    const mesh = new BesiegedMesh(honest, defineGroup(name, validators, 1), liar, directories);
    await mesh.works();
    return mesh;
  }

  get validators(): readonly HonestNode[] {
    return this.honest.nodes.slice(0, 3);
  }

  get member(): HonestNode {
    return this.honest.node(3);
  }

  /** What honest nodes want of the group still happens, and nobody has crashed, diverged or been blamed. */
  async works(): Promise<void> {
    const { coordination, registry } = this.member.mesh;
    const name = `try-${tries++}`;
    const lock = await coordination.lock(name, { timeoutMs: 20_000 });
    const taken = await this.honest
      .node(0)
      .mesh.coordination.lock(name, { wait: false })
      .catch(() => 'taken');
    expect(taken).toBe('taken');
    await lock.release();
    const adders = [this.member, ...this.validators].map(({ mesh }) => mesh.coordination.counter(name).add(1));
    await Promise.all(adders);
    expect(await coordination.counter(name).value()).toBe(4);
    const strong = await registry.register(name, () => 'here', metadata, { consistency: 'strong', timeoutMs: 20_000 });
    for (const { mesh } of this.validators) {
      await pollUntil(() => mesh.registry.lookup(name)?.strong?.token === strong.record.strong?.token);
    }
    await strong.unregister();
    await this.agrees();
    this.honest.hasNotCrashed();
    this.honest.nobodyWasBlamed();
  }

  /** Every honest validator comes to have executed the same. */
  async agrees(): Promise<void> {
    const executed = (): number[] =>
      this.validators.map(({ mesh }) => mesh.status().coordination.replica?.executed ?? -1);
    await pollUntil(() => new Set(executed()).size === 1 && executed()[0] !== -1);
  }

  /** Orders so much that a checkpoint shows whether all have the same state. */
  async checkpoint(): Promise<void> {
    const stable = (): number[] => this.validators.map(({ mesh }) => mesh.status().coordination.replica?.stable ?? 0);
    const before = Math.max(...stable());
    const counter = this.honest.node(0).mesh.coordination.counter('checkpoint');
    while (stable().some((seq) => seq <= before)) await counter.add(1);
    await this.agrees();
    this.honest.hasNotCrashed();
  }

  /** Sum of what the honest nodes have counted under reasons like this. */
  counted(reason: RegExp): number {
    return this.honest.nodes.reduce((sum, _, index) => sum + this.honest.counted(index, reason), 0);
  }

  async attacker(identity?: Identity): Promise<Besieger> {
    const attacker = await Attacker.start({ mesh: this.honest.name, ...(identity === undefined ? {} : { identity }) });
    await attacker.join(...this.honest.addresses);
    attacker.becomeMember();
    return new Besieger(attacker, this);
  }

  async stop(): Promise<void> {
    await this.honest.stop();
    for (const path of this.#directories) await rm(path, { recursive: true, force: true });
  }
}

/** One hostile node with streams to all. */
export class Besieger {
  readonly attacker: Attacker;
  readonly mesh: BesiegedMesh;
  readonly #streams = new Map<string, RawStream>();
  readonly #read = new Map<RawStream, number>();
  #session = 0;
  #number = 0;

  constructor(attacker: Attacker, mesh: BesiegedMesh) {
    this.attacker = attacker;
    this.mesh = mesh;
  }

  get id(): NodeId {
    return this.attacker.id;
  }

  /** A stream to one node, opened once. */
  async stream(node: HonestNode, protocol: string): Promise<RawStream> {
    const key = `${node.id} ${protocol}`;
    const known = this.#streams.get(key);
    if (known !== undefined && !known.over) return known;
    const made = await this.attacker.open(node.id, protocol);
    this.#streams.set(key, made);
    return made;
  }

  async say(node: HonestNode, ...messages: readonly Message[]): Promise<void> {
    const stream = await this.stream(node, pbftProtocol);
    for (const message of messages) stream.frame(encodeMessage(message));
  }

  async tell(node: HonestNode, ...frames: readonly GroupFrame[]): Promise<void> {
    const stream = await this.stream(node, groupProtocol);
    for (const frame of frames) stream.frame(encodeGroupFrame(frame));
  }

  /** A request of anybody, signed by whomever. */
  request(operation: Operation, changes: Partial<Request> & { readonly signer?: Identity } = {}): Request {
    const { signer = this.attacker.identity, ...fields } = changes;
    const number = operation.kind === 'open' ? Date.now() : 1;
    const draft = { client: signer.id, session: 0, number, acknowledged: 0, operation, ...fields };
    const body = requestBody(draft);
    const signature = signer.sign(bodyBytes(this.mesh.definition.id, 'request', body));
    return { type: 'request', ...draft, signature, bytes: requestBytes(body, signature) };
  }

  /** Commands in one request, as a real client sends them; gives what f + 1 validators answer alike. */
  async order(commands: readonly Uint8Array[]): Promise<readonly CommandResult[]> {
    if (this.#session === 0) {
      const outcome = await this.#settle(this.request({ kind: 'open' }));
      if (outcome.kind !== 'opened') throw new Error(outcome.kind);
      this.#session = outcome.session;
    }
    this.#number += 1;
    const place = { session: this.#session, number: this.#number, acknowledged: this.#number - 1 };
    const outcome = await this.#settle(this.request({ kind: 'commands', commands }, place));
    if (outcome.kind !== 'done') throw new Error(outcome.kind);
    return outcome.results;
  }

  /** The machine's answers: values, or codes of refusals. */
  async command(...commands: readonly unknown[]): Promise<readonly Value[]> {
    const encoded = commands.map((command) =>
      command instanceof Uint8Array ? command : encodePayload(command, 128 * 1024),
    );
    return (await this.order(encoded)).map(answerOf);
  }

  /** The place of a request that is made by hand, after the last one. */
  place(ahead: number): { readonly session: number; readonly number: number } {
    return { session: this.#session, number: this.#number + ahead };
  }

  /** Sends it to all, and waits until f + 1 answer it alike. */
  async settled(request: Request): Promise<void> {
    await this.#settle(request);
  }

  async #settle(request: Request): Promise<NonNullable<ReturnType<typeof decodeOutcome>>> {
    for (const node of this.mesh.validators) await this.say(node, request);
    const results = new Map<string, number>();
    let agreed: Uint8Array | undefined;
    await pollUntil(() => {
      for (const message of this.messages()) {
        if (message.type !== 'reply' || message.number !== request.number || message.session !== request.session)
          continue;
        const key = Buffer.from(message.result).toString('base64');
        const count = (results.get(key) ?? 0) + 1;
        results.set(key, count);
        if (count === 2) agreed = message.result;
      }
      return agreed !== undefined;
    });
    const outcome = decodeOutcome(agreed as Uint8Array);
    if (outcome === undefined) throw new Error('no outcome');
    return outcome;
  }

  /** What validators said since the last call. */
  messages(): Message[] {
    return this.#unread(pbftProtocol).flatMap((bytes) => {
      const decoded = decodeMessage(bytes, this.mesh.definition.parameters);
      return typeof decoded === 'string' ? [] : [decoded.message];
    });
  }

  frames(): GroupFrame[] {
    return this.#unread(groupProtocol).flatMap((bytes) => decodeGroupFrame(bytes) ?? []);
  }

  #unread(protocol: string): Uint8Array[] {
    return (this.attacker.inbound.get(protocol) ?? []).flatMap((stream) => {
      const from = this.#read.get(stream) ?? 0;
      this.#read.set(stream, stream.frames.length);
      return stream.frames.slice(from);
    });
  }

  stop(): Promise<void> {
    return this.attacker.stop();
  }
}

function answerOf(result: CommandResult): Value {
  if (!result.ok) return result.reason;
  const decoded = decodePayload(result.value);
  const answer = decoded.ok ? (decoded.value as readonly Value[]) : ['unreadable', undefined];
  return answer.length === 1 ? { ok: answer[0] } : answer[0];
}
