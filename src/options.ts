/**
 * The options of `createMesh`: plain data, validated once, defaults in one place. What is validated here
 * is taken for granted everywhere else.
 */
import { multiaddr } from '@multiformats/multiaddr';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { QuorateError } from './errors.ts';
import { isNodeId, type NodeId } from './node-id.ts';
import type { Value } from './value.ts';

/**
 * What `createMesh` takes. Everything has a default: `createMesh()` is a mesh of one process.
 *
 * @example
 * const mesh = await createMesh({ mode: 'cluster', bootstrap: ['/ip4/10.0.0.1/tcp/4700'], dataDir: './node' });
 */
export interface MeshOptions<Custom = Record<string, Value>> {
  /** `local`: one process, no network. `cluster`: join a mesh. Nothing else in the application changes. Default `local`. */
  readonly mode?: 'local' | 'cluster';
  /** Meshes of different names never merge. 1 to 64 characters of `a-z A-Z 0-9 . _ -`. Default `default`. */
  readonly name?: string;
  /** Where this node is, e.g. `eu-west-1a`; agents inherit it. Default `default`. */
  readonly zone?: string;
  /** What this node is for; shown to all members. Default none. */
  readonly roles?: readonly string[];
  /** Free resources of this node by name, shown to all members, e.g. `{ cpu: 8, memoryMB: 4096 }`. Default none. */
  readonly capacity?: Readonly<Record<string, number>>;
  /**
   * Keeps `capacity.cpu` (free share of this machine's processors, 0 to 1) and `capacity.memoryMB` (free memory) of this node fresh by measurement: announced when they have
   * changed by a tenth, at most every 5 s. Default false.
   */
  readonly measureCapacity?: boolean;
  /**
   * Directory for the node key (0600) and epoch; created when missing, locked while the mesh runs.
   * Without it the node has a new identity at each start.
   */
  readonly dataDir?: string;
  /**
   * Multiaddrs to listen on. Default `['/ip4/127.0.0.1/tcp/0']`: a free port on loopback, reachable from
   * this machine only, so that nothing is exposed by accident. `['/ip4/0.0.0.0/tcp/4700']` for a network.
   */
  readonly listen?: readonly string[];
  /** Multiaddrs to tell others instead of the ones listened on, e.g. behind a NAT. */
  readonly announce?: readonly string[];
  /** Multiaddrs of members to join by; any one is enough. Unreachable ones are tried again for as long as the mesh runs. */
  readonly bootstrap?: readonly string[];
  /** Pre-shared key, 64 hex digits (`quorate keygen --network`). Only nodes with the same key can connect. */
  readonly networkKey?: string;
  /** Node ids that may be members; others are refused. Default: anyone who can connect. */
  readonly allow?: readonly NodeId[];
  /** Checks the `custom` metadata of every agent registered here (any Standard Schema: valibot, zod, arktype …). */
  readonly metadata?: StandardSchemaV1<unknown, Custom>;
  readonly calls?: {
    /** Deadline of a call that names none, milliseconds. Default 5,000: the field's habit (Erlang's `GenServer.call`). */
    readonly timeoutMs?: number;
    /** Share of calls that may be retries. Default 0.1: enough for a lost node, too little for a retry storm. */
    readonly retryBudget?: number;
    /** Handlers of one agent running at once. Default 64. */
    readonly maxConcurrent?: number;
    /** Calls waiting for one agent; one more is refused. Default 1,024. */
    readonly mailboxSize?: number;
    /** Largest message or reply, encoded, bytes. Default 4 MiB. */
    readonly maxMessageBytes?: number;
  };
  readonly membership?: {
    /** How many members may lie about others; `liars + 1` observers must agree that one is unreachable. Default 1. */
    readonly liars?: number;
    /** From `unreachable` to `removed`, milliseconds. Default 30,000: longer than a restart, a guess. */
    readonly removeAfterMs?: number;
    /** How long `createMesh` waits for the first bootstrap peer before it goes on alone, milliseconds. Default 10,000. */
    readonly joinTimeoutMs?: number;
  };
  readonly registry?: {
    /** Agents one node may have. Default 10,000. */
    readonly maxAgentsPerNode?: number;
    /** Nodes whose feeds are kept; further authors are refused. Default 1,024. */
    readonly maxNodes?: number;
  };
  readonly coordination?: CoordinationOptions;
  /** Receives what a human should see and no event says. Default: nothing below `warn`, `warn` and `error` to stderr. */
  readonly logger?: Logger;
}

/**
 * Who decides what must not be split: locks, elections, decisions, exclusive names. Without this option a node learns the validators of
 * its mesh from its peers, with proof, and is a client of theirs.
 */
export interface CoordinationOptions {
  /**
   * Founds the group of this mesh: the node ids of its first validators, the same list at each of them (`ensureNodeKey` gives the id of a data directory).
   * `'self'` stands for this node. On a node that is not among them it pins the founders, so that no peer can name others.
   */
  readonly validators?: readonly (NodeId | 'self')[];
  /**
   * How many validators may lie; at least 3f + 1 are needed. 0 means that they may only crash, and a majority decides (what others call Raft).
   * Default: as many as the number of validators bears, ⌊(n − 1) / 3⌋.
   */
  readonly f?: number;
  /** The only group to accept from peers: its id, 64 hex digits (`quorate validators`). Default: the one the peers name. */
  readonly group?: string;
  /**
   * Whether a validator here keeps what it promised on disk, synced before it is sent. Default true, which needs `dataDir`. False: only in memory; a restarted process must
   * not come back as the same validator, and is refused as one.
   */
  readonly durable?: boolean;
  /** Deadline of an operation that names none, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * `'vote'`: each validator's operator votes for a change of validators (`coordination.validators.add`). `'trust'`: this validator seconds every change that another has voted for; for
   * meshes of one owner. Default `'vote'`.
   */
  readonly changes?: 'vote' | 'trust';
  /**
   * With `changes: 'trust'` everywhere: members with the role `validator` that have run for a while become validators by themselves, until there are so many. For
   * meshes whose members trust each other. Default 0: never.
   */
  readonly promoteUpTo?: number;
  /** The state machines of the application; the same on every validator (`defineStateMachine`). Default none. */
  readonly machines?: readonly DefinedStateMachine[];
}

/** What `defineStateMachine` gives, as far as the options care. */
export interface DefinedStateMachine {
  readonly name: string;
  readonly version: number;
}

/** Anything with these four methods, e.g. `console` or a pino logger. */
export interface Logger {
  debug(message: string, data?: Readonly<Record<string, unknown>>): void;
  info(message: string, data?: Readonly<Record<string, unknown>>): void;
  warn(message: string, data?: Readonly<Record<string, unknown>>): void;
  error(message: string, data?: Readonly<Record<string, unknown>>): void;
}

/** Options with every default filled in. */
export interface ResolvedOptions<Custom = Record<string, Value>> {
  readonly mode: 'local' | 'cluster';
  readonly name: string;
  readonly zone: string;
  readonly roles: readonly string[];
  readonly capacity: Readonly<Record<string, number>>;
  readonly measureCapacity: boolean;
  readonly dataDir: string | undefined;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly bootstrap: readonly string[];
  readonly networkKey: string | undefined;
  readonly allow: readonly NodeId[] | undefined;
  readonly metadata: StandardSchemaV1<unknown, Custom> | undefined;
  readonly calls: Required<NonNullable<MeshOptions['calls']>>;
  readonly membership: Required<NonNullable<MeshOptions['membership']>>;
  readonly registry: Required<NonNullable<MeshOptions['registry']>>;
  readonly coordination: ResolvedCoordination;
  readonly logger: Logger;
}

export interface ResolvedCoordination {
  readonly validators: readonly (NodeId | 'self')[] | undefined;
  readonly f: number | undefined;
  readonly group: string | undefined;
  readonly durable: boolean;
  readonly timeoutMs: number;
  readonly changes: 'vote' | 'trust';
  readonly promoteUpTo: number;
  readonly machines: readonly DefinedStateMachine[];
}

const silent = (): void => undefined;
const toStderr = (level: string) => (message: string, data?: Readonly<Record<string, unknown>>) => {
  process.stderr.write(
    `quorate ${level}: ${message}${data === undefined ? '' : ` ${JSON.stringify(data, legible)}`}\n`,
  );
};
/** What JSON would show as `{}`, or refuse. */
const legible = (_key: string, value: unknown): unknown =>
  value instanceof Error ? value.message : typeof value === 'bigint' ? String(value) : value;
const defaultLogger: Logger = { debug: silent, info: silent, warn: toStderr('warn'), error: toStderr('error') };

/** A logger of the application's may throw, from where an exception would end the process. */
function unfailing(logger: Logger): Logger {
  const guarded =
    (level: keyof Logger): Logger['debug'] =>
    (message, data) => {
      try {
        logger[level](message, data as Readonly<Record<string, unknown>>);
      } catch (error) {
        defaultLogger.error(`The logger failed (${String(error)}) on: ${message}`);
      }
    };
  return { debug: guarded('debug'), info: guarded('info'), warn: guarded('warn'), error: guarded('error') };
}

function isMultiaddr(text: string): boolean {
  try {
    return multiaddr(text).getComponents().length > 0;
  } catch {
    return false; // The parser throws for what is no multiaddr, and that is the answer here.
  }
}

const label = v.pipe(
  v.string('must be a string'),
  v.regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 characters of a-z A-Z 0-9 . _ -'),
);
const multiaddrText = v.pipe(
  v.string('must be a multiaddr'),
  v.maxLength(256, 'must be at most 256 characters'),
  v.check(isMultiaddr, 'must be a multiaddr such as /ip4/127.0.0.1/tcp/4700'),
);
const addresses = (most: number) =>
  v.pipe(
    v.array(multiaddrText, 'must be a list of multiaddrs'),
    v.maxLength(most, `must have at most ${most} entries`),
  );
const within = (low: number, high: number) => {
  const message = `must be a number from ${low} to ${high}`;
  return v.pipe(v.number(message), v.finite(message), v.minValue(low, message), v.maxValue(high, message));
};
const whole = (low: number, high: number) => v.pipe(within(low, high), v.integer('must be a whole number'));
const hasMethods = (...names: string[]) =>
  v.custom<object>(
    (input) =>
      typeof input === 'object' &&
      input !== null &&
      names.every((name) => typeof (input as Record<string, unknown>)[name] === 'function'),
    `must have the methods ${names.join(', ')}`,
  );
const isStandardSchema = (input: unknown): boolean =>
  (typeof input === 'object' || typeof input === 'function') && input !== null && '~standard' in input;

const calls = v.strictObject({
  timeoutMs: v.optional(within(1, 86_400_000), 5_000),
  retryBudget: v.optional(within(0, 1), 0.1),
  maxConcurrent: v.optional(whole(1, 1_000_000), 64),
  mailboxSize: v.optional(whole(1, 1_000_000), 1_024),
  maxMessageBytes: v.optional(whole(1_024, 64 * 1024 * 1024), 4 * 1024 * 1024),
});
const membership = v.strictObject({
  liars: v.optional(whole(0, 4), 1),
  removeAfterMs: v.optional(within(1_000, 86_400_000), 30_000),
  joinTimeoutMs: v.optional(within(0, 86_400_000), 10_000),
});
const registry = v.strictObject({
  maxAgentsPerNode: v.optional(whole(1, 1_000_000), 10_000),
  maxNodes: v.optional(whole(1, 100_000), 1_024),
});
const nodeId = v.custom<NodeId>(
  (input) => typeof input === 'string' && isNodeId(input),
  'must be a node id (12D3KooW…)',
);
const coordination = v.strictObject({
  validators: v.optional(
    v.pipe(
      v.array(
        v.union([v.literal('self'), nodeId], "must be a node id (12D3KooW…) or 'self'"),
        'must be a list of node ids',
      ),
      v.minLength(1, 'must name at least one validator'),
    ),
  ),
  f: v.optional(whole(0, 21)),
  group: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits (quorate validators)'))),
  durable: v.optional(v.boolean('must be true or false'), true),
  timeoutMs: v.optional(within(1, 86_400_000), 10_000),
  changes: v.optional(v.picklist(['vote', 'trust'], "must be 'vote' or 'trust'"), 'vote'),
  promoteUpTo: v.optional(whole(0, 64), 0),
  machines: v.optional(
    v.array(
      hasMethods('start', 'checkCommand', 'checkQuery') as v.GenericSchema<unknown, DefinedStateMachine>,
      'must be a list of what defineStateMachine gives',
    ),
    [],
  ),
});

const schema = v.strictObject({
  mode: v.optional(v.picklist(['local', 'cluster'], "must be 'local' or 'cluster'"), 'local'),
  name: v.optional(label, 'default'),
  zone: v.optional(label, 'default'),
  roles: v.optional(v.pipe(v.array(label), v.maxLength(16, 'must have at most 16 entries')), []),
  capacity: v.optional(
    v.pipe(
      v.record(label, v.pipe(v.number('must be a number'), v.finite('must be finite'))),
      v.maxEntries(32, 'must have at most 32 entries'),
    ),
    {},
  ),
  measureCapacity: v.optional(v.boolean('must be true or false'), false),
  dataDir: v.optional(v.pipe(v.string('must be a path'), v.minLength(1, 'must not be empty'))),
  listen: v.optional(addresses(16), ['/ip4/127.0.0.1/tcp/0']),
  announce: v.optional(addresses(16), []),
  bootstrap: v.optional(addresses(64), []),
  networkKey: v.optional(
    v.pipe(v.string(), v.regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits (quorate keygen --network)')),
  ),
  allow: v.optional(
    v.pipe(
      v.array(nodeId, 'must be a list of node ids'),
      v.minLength(1, 'must name at least one node: an empty list would refuse everybody'),
    ),
  ),
  metadata: v.optional(
    v.custom<StandardSchemaV1>(isStandardSchema, 'must be a Standard Schema (valibot, zod, arktype …)'),
  ),
  calls: v.optional(calls, {}),
  membership: v.optional(membership, {}),
  registry: v.optional(registry, {}),
  coordination: v.optional(coordination, {}),
  logger: v.optional(hasMethods('debug', 'info', 'warn', 'error') as v.GenericSchema<unknown, Logger>),
});

/** Throws one `INVALID_OPTIONS` whose `data.fields` maps every wrong field to what is wrong with it. */
export function resolveOptions<Custom>(options: MeshOptions<Custom>): ResolvedOptions<Custom> {
  const parsed = v.safeParse(schema, options);
  if (!parsed.success) {
    const fields: Record<string, string> = {};
    for (const issue of parsed.issues) {
      const path = v.getDotPath(issue) ?? '(options)';
      fields[path] ??= issue.type === 'strict_object' ? unknownOrMissing(issue) : issue.message;
    }
    const list = Object.entries(fields).map(([path, problem]) => `  ${path}: ${problem}`);
    throw new QuorateError('INVALID_OPTIONS', `createMesh was given options it cannot use:\n${list.join('\n')}`, {
      fields,
    });
  }
  const { dataDir, networkKey, allow, metadata, logger, coordination: agreement, ...rest } = parsed.output;
  return {
    ...rest,
    dataDir,
    networkKey: networkKey?.toLowerCase(),
    allow,
    coordination: {
      ...agreement,
      validators: agreement.validators,
      f: agreement.f,
      group: agreement.group?.toLowerCase(),
    },
    metadata: metadata as StandardSchemaV1<unknown, Custom> | undefined,
    logger: logger === undefined ? defaultLogger : unfailing(logger),
  };
}

function unknownOrMissing(issue: v.BaseIssue<unknown>): string {
  return issue.expected === 'never' ? 'is not an option of createMesh' : issue.message;
}
