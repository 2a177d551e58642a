/** Options of a rate limiter, checked once: every wrong field is named. */
import { compileCriteria } from '../../../crdt/registry-criteria.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { AgentRecord } from '../../registry/records.ts';
import { maxRate } from './limit-entries.ts';
import type { RateLimiterOptions } from './limiter.ts';
import { leastLifetimeMs, quotaTerms } from './quota-terms.ts';
import type { Distribution } from './shares.ts';

export interface LimiterTerms {
  readonly id: string;
  readonly rate: number;
  readonly burst: number;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly distribution: Distribution;
  readonly capacityName: string;
  readonly key: RateLimiterOptions['key'];
  readonly maxKeys: number;
  readonly agents: RateLimiterOptions['agents'];
  readonly method: string | undefined;
  readonly whenExceeded: 'reject' | 'wait';
  readonly maxQueue: number;
  readonly strict: boolean;
}

/** Does a limit apply to the agent? */
export interface AgentMatch {
  /** Undefined: by id, no record is needed. */
  readonly id: AgentId | undefined;
  holds(record: AgentRecord): boolean;
}

const defaultMaxKeys = 10_000;
const defaultMaxQueue = 1_000;
const maxIdLength = 128;
const known: ReadonlySet<string> = new Set<keyof RateLimiterOptions>([
  'id',
  'requestsPerSecond',
  'burst',
  'scope',
  'distribution',
  'capacityName',
  'key',
  'maxKeys',
  'agents',
  'method',
  'whenExceeded',
  'maxQueue',
  'strict',
]);

/** Throws `INVALID_ARGUMENT` with `data.fields`. */
export function limiterTerms(options: RateLimiterOptions): LimiterTerms {
  const fields = new Map<string, string>();
  if (typeof options !== 'object' || options === null) fields.set('options', 'must be an object');
  else checkFields(options, fields);
  if (fields.size > 0) throw wrong(fields);
  const rate = options.requestsPerSecond;
  const terms: LimiterTerms = {
    id: options.id,
    rate,
    burst: options.burst ?? Math.max(1, rate / 10),
    scope: options.scope ?? 'cluster',
    distribution: options.distribution ?? 'byDemand',
    capacityName: options.capacityName ?? 'cpu',
    key: options.key,
    maxKeys: options.maxKeys ?? defaultMaxKeys,
    agents: options.agents,
    method: options.method,
    whenExceeded: options.whenExceeded ?? 'reject',
    maxQueue: options.maxQueue ?? defaultMaxQueue,
    strict: options.strict ?? false,
  };
  if (terms.strict && quotaTerms(terms).lifetimeMs < leastLifetimeMs) {
    const least = Math.ceil((terms.rate * leastLifetimeMs) / 500);
    fields.set('burst', `must be at least ${least} with strict: quotas that last a few milliseconds only reach nobody`);
    throw wrong(fields);
  }
  return terms;
}

export function matchOf(agents: NonNullable<RateLimiterOptions['agents']>): AgentMatch {
  if (typeof agents === 'string') return { id: agents, holds: () => false };
  const tests = compileCriteria(agents);
  return { id: undefined, holds: (record) => tests.every((test) => test.holds(record)) };
}

type Check = (value: unknown) => string | undefined;

const oneOf =
  (...allowed: readonly string[]): Check =>
  (value) =>
    allowed.includes(value as string) ? undefined : `must be one of ${allowed.join(', ')}`;
const wholeFrom =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `must be a whole number from ${least} to ${most}`;
const rateFrom =
  (least: number): Check =>
  (value) =>
    typeof value === 'number' && value >= least && value <= maxRate ? undefined : `must be ${least} to ${maxRate}`;
const text =
  (longest: number): Check =>
  (value) =>
    typeof value === 'string' && value.length > 0 && value.length <= longest && value.isWellFormed()
      ? undefined
      : `must be 1 to ${longest} well-formed characters`;

const checks: Readonly<Record<Exclude<keyof RateLimiterOptions, 'id' | 'requestsPerSecond' | 'agents'>, Check>> = {
  burst: rateFrom(1),
  scope: oneOf('node', 'zone', 'cluster'),
  distribution: oneOf('weightedByCapacity', 'equal', 'byDemand'),
  capacityName: text(maxIdLength),
  key: (value) => (typeof value === 'function' ? undefined : 'must be a function'),
  maxKeys: wholeFrom(1, 1_000_000),
  method: text(256),
  whenExceeded: oneOf('reject', 'wait'),
  maxQueue: wholeFrom(0, 1_000_000),
  strict: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
};

function checkFields(options: RateLimiterOptions, fields: Map<string, string>): void {
  const note = (field: string, problem: string | undefined): void => {
    if (problem !== undefined) fields.set(field, problem);
  };
  note('id', text(maxIdLength)(options.id));
  note('requestsPerSecond', rateFrom(leastRate)(options.requestsPerSecond));
  for (const [field, check] of Object.entries(checks)) {
    const value = options[field as keyof RateLimiterOptions];
    if (value !== undefined) note(field, check(value));
  }
  note('agents', agentsProblem(options.agents));
  if (options.strict === true && options.scope !== undefined && options.scope !== 'cluster') {
    fields.set('scope', 'must be cluster with strict: the validators know no other');
  }
  for (const field of Object.keys(options)) if (!known.has(field)) fields.set(field, 'is no option of a rate limiter');
}

/** One request in twelve days. */
const leastRate = 1e-6;

function agentsProblem(agents: RateLimiterOptions['agents']): string | undefined {
  if (agents === undefined) return undefined;
  if (typeof agents === 'string') return text(256)(agents);
  try {
    compileCriteria(agents);
    return undefined;
  } catch (error) {
    if (isQuorateError(error)) return error.message;
    throw error;
  }
}

function wrong(fields: ReadonlyMap<string, string>): QuorateError {
  const list = [...fields].map(([field, problem]) => `${field} ${problem}`).join('; ');
  return new QuorateError('INVALID_ARGUMENT', `These options of a rate limiter cannot be used: ${list}.`, {
    fields: Object.fromEntries(fields),
  });
}
