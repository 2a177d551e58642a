/**
 * Whether a state machine of yours is deterministic enough to be replicated: the same commands on three replicas, one of which never stops, one
 * of which is restored from a snapshot now and then, and one before every command. Clocks, randomness and timers are out of reach meanwhile.
 *
 * It finds what the commands show, so give it commands that reach every branch, refused ones too.
 */
import assert from 'node:assert/strict';
import { type Rng, seededRng } from '../clock.ts';
import type { NodeId } from '../node-id.ts';
import { decodePayload, encodePayload } from '../payload.ts';
import type {
  Reaction,
  RunningMachine,
  StateMachineDefinition,
} from '../protocols/coordination/state-machines/state-machines.ts';
import type { Value } from '../value.ts';

export interface DeterminismOptions<QueryInput> {
  /** Chooses times, clients and where replicas are restored; equal seeds give equal runs. Default 1. */
  readonly seed?: number;
  /** Asked of all replicas after each command. Default none. */
  readonly queries?: readonly QueryInput[];
}

/**
 * Throws an `AssertionError` that names the first command whose answer or state differs between replicas, that reached for something
 * outside, or that was refused after it had changed the state.
 *
 * @example
 * test('accounts are deterministic', () => checkDeterminism(accounts, commands, { seed: 7 }));
 */
export function checkDeterminism<CommandInput, QueryInput>(
  definition: StateMachineDefinition<CommandInput, unknown, QueryInput, unknown>,
  commands: readonly CommandInput[],
  { seed = 1, queries = [] }: DeterminismOptions<QueryInput> = {},
): void {
  const rng = seededRng(seed);
  const replicas: Replica[] = [
    { name: 'the one that never stopped', restores: () => false, running: definition.start() },
    { name: 'the one restored now and then', restores: (chance) => chance < 0.3, running: definition.start() },
    { name: 'the one restored before every command', restores: () => true, running: definition.start() },
  ];
  const world = { time: 1_700_000_000_000, token: 0 };
  for (const [index, command] of commands.entries()) {
    const where = `command ${index} (${show(command)}, seed ${seed})`;
    restoreSome(definition, replicas, rng.float(), where);
    applyToAll(replicas, encodePayload(command, maxBytes), world, rng, where);
    for (const query of queries) askAll(replicas, query, where);
  }
}

function askAll(replicas: readonly Replica[], query: unknown, after: string): void {
  const where = `query ${show(query)} after ${after}`;
  const asked = encodePayload(query, maxBytes);
  const [before] = snapshots(replicas);
  const answers = replicas.map(({ running }) => fenced(() => running.query(decoded(asked)), where));
  sameForAll(replicas, answers.map(bytesOf), `${where}: the answer`);
  for (const state of snapshots(replicas)) assert.equal(state, before, `${where} changed the state.`);
}

interface Replica {
  readonly name: string;
  readonly restores: (chance: number) => boolean;
  running: RunningMachine;
}

const maxBytes = 64 * 1024 * 1024;
const clients = ['node-a', 'node-b', 'node-c'] as unknown as readonly NodeId[];

function restoreSome(
  definition: { start(): RunningMachine },
  replicas: readonly Replica[],
  chance: number,
  where: string,
): void {
  for (const replica of replicas) {
    if (!replica.restores(chance)) continue;
    const snapshot = replica.running.snapshot();
    replica.running = definition.start();
    replica.running.restore(snapshot);
    assert.deepEqual(
      hex(replica.running.snapshot()),
      hex(snapshot),
      `Before ${where}: restoring a snapshot gives another state.`,
    );
  }
}

function applyToAll(
  replicas: readonly Replica[],
  command: Uint8Array,
  world: { time: number; token: number },
  rng: Rng,
  where: string,
): void {
  world.time += rng.below(10_000);
  const client = clients[rng.below(clients.length)] as NodeId;
  const [before] = snapshots(replicas);
  const tokens: number[] = [];
  const answers = replicas.map(({ running }, which) => {
    let token = world.token;
    const context = { time: world.time, client, nextToken: () => ++token };
    const input = decoded(command);
    // Only for one of them: whoever changes what it is given differs from then on.
    if (which === 0) freeze(input);
    const reaction = fenced(() => running.apply(input, context), where);
    tokens.push(token);
    return reaction;
  });
  sameForAll(replicas, answers.map(bytesOf), `${where}: the answer`);
  sameForAll(replicas, tokens.map(String), `${where}: the number of tokens taken`);
  const after = snapshots(replicas);
  sameForAll(replicas, after, `${where}: the state`);
  const refused = answers[0]?.ok === false;
  if (refused) assert.equal(after[0], before, `${where} was refused, but had changed the state before it threw.`);
  world.token = tokens[0] ?? world.token;
}

function sameForAll(replicas: readonly Replica[], given: readonly string[], what: string): void {
  for (const [index, { name }] of replicas.entries()) {
    assert.equal(given[index], given[0], `${what} differs between ${replicas[0]?.name} and ${name}.`);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const snapshots = (replicas: readonly Replica[]): string[] => replicas.map(({ running }) => hex(running.snapshot()));
const bytesOf = (reaction: Reaction): string =>
  reaction.ok ? hex(reaction.bytes) : `refused: ${reaction.code} ${show(reaction.data)}`;

function decoded(bytes: Uint8Array): Value {
  const result = decodePayload(bytes);
  assert.ok(result.ok);
  return result.value;
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  for (const part of value instanceof Map ? [...value.keys(), ...value.values()] : Object.values(value)) freeze(part);
  Object.freeze(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part)) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Runs with everything that differs between processes replaced by something that throws, and is noticed even if that is caught. */
function fenced<T>(run: () => T, where: string): T {
  const reached: string[] = [];
  const trap =
    (name: string): (() => never) =>
    () => {
      reached.push(name);
      throw new Error(`${name} is out of reach of a state machine.`);
    };
  const undo = traps.map(([owner, key]) => replace(owner, key, trap(nameOf(owner, key))));
  undo.push(replace(process.hrtime, 'bigint', trap('process.hrtime.bigint')));
  undo.push(replace(globalThis, 'Date', fencedDate(trap)));
  try {
    return run();
  } finally {
    for (const restore of undo.reverse()) restore();
    assert.deepEqual(
      reached,
      [],
      `${where} reached for ${reached.join(', ')}; use context.time and context.nextToken().`,
    );
  }
}

const traps: readonly (readonly [object, string])[] = [
  [Math, 'random'],
  [performance, 'now'],
  [crypto, 'randomUUID'],
  [crypto, 'getRandomValues'],
  [process, 'hrtime'],
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch'].map((key) => [globalThis, key] as const),
];

const nameOf = (owner: object, key: string): string =>
  owner === globalThis
    ? key
    : `${owner === Math ? 'Math' : owner === process ? 'process' : owner === crypto ? 'crypto' : 'performance'}.${key}`;

/** Dates of given times are values like others; only the present is out of reach. */
function fencedDate(trap: (name: string) => () => never): DateConstructor {
  const now = trap('Date.now');
  return new Proxy(Date, {
    construct: (target, given: []) => (given.length === 0 ? trap('new Date()')() : new target(...given)),
    apply: trap('Date()'),
    get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
  });
}

function replace(owner: object, key: string, by: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(owner, key);
  Object.defineProperty(owner, key, { value: by, configurable: true, writable: true });
  return () => {
    if (own === undefined) Reflect.deleteProperty(owner, key);
    else Object.defineProperty(owner, key, own);
  };
}
