/** Options of a breaker, checked once and with their defaults. */
import { hash } from 'node:crypto';
import { compileCriteria, type Test } from '../../../crdt/registry-criteria.ts';
import { QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { AgentRecord } from '../../registry/records.ts';
import type { BreakerOptions } from './breaker.ts';

export interface ResolvedBreakerOptions {
  /** Undefined when it protects by criteria. */
  readonly agent: AgentId | undefined;
  readonly method: string | undefined;
  readonly id: string;
  readonly failureThreshold: number;
  readonly failureRatio: number;
  readonly windowMs: number;
  readonly recoveryTimeMs: number;
  readonly maxRecoveryTimeMs: number;
  /** Infinity: no call is slow. */
  readonly slowCallMs: number;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly fallbackAgents: readonly AgentId[];
  readonly classify: BreakerOptions['classify'];
  /** Equal for options that mean the same. */
  readonly fingerprint: string;
  protects(record: AgentRecord): boolean;
}

const longestMs = 86_400_000;
const maxIdBytes = 300;
const maxFallbacks = 16;
const known: ReadonlySet<string> = new Set<keyof BreakerOptions>([
  'agent',
  'method',
  'id',
  'failureThreshold',
  'failureRatio',
  'windowMs',
  'recoveryTimeMs',
  'maxRecoveryTimeMs',
  'slowCallMs',
  'scope',
  'fallbackAgents',
  'classify',
]);

/** Throws `INVALID_ARGUMENT` that names every wrong field, `INVALID_CRITERIA`. */
export function checkBreakerOptions(options: BreakerOptions): ResolvedBreakerOptions {
  if (typeof options !== 'object' || options === null) throw wrongOptions(['options must be an object with `agent`']);
  if (options.agent === undefined) throw wrongOptions(['agent must be an agent id, or criteria']);
  const wrong: string[] = [];
  const { agent, method, scope = 'cluster', fallbackAgents = [], classify } = options;
  const tests = typeof agent === 'string' ? undefined : compileCriteria(agent);
  checkName(wrong, 'agent', typeof agent === 'string' ? agent : undefined, 256);
  checkName(wrong, 'method', method, 256);
  checkName(wrong, 'id', options.id, maxIdBytes);
  const number = (name: NumberOption, fallback: number, least: number, most: number, whole: boolean): number => {
    const value = options[name] ?? fallback;
    const right = typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (!right) wrong.push(`${name} must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}`);
    return value;
  };
  const failureThreshold = number('failureThreshold', 5, 1, 1_000_000, true);
  const failureRatio = number('failureRatio', 0.5, 0, 1, false);
  const windowMs = number('windowMs', 10_000, 10, longestMs, false);
  const recoveryTimeMs = number('recoveryTimeMs', 30_000, 1, longestMs, false);
  const maxRecoveryTimeMs = number('maxRecoveryTimeMs', 8 * recoveryTimeMs, 1, 8 * longestMs, false);
  const slowCallMs = options.slowCallMs === undefined ? Infinity : number('slowCallMs', 0, 0.001, longestMs, false);
  if (maxRecoveryTimeMs < recoveryTimeMs) wrong.push('maxRecoveryTimeMs must not be below recoveryTimeMs');
  if (scope !== 'node' && scope !== 'zone' && scope !== 'cluster')
    wrong.push("scope must be 'node', 'zone' or 'cluster'");
  const areNames = Array.isArray(fallbackAgents) && fallbackAgents.every((name) => isName(name, 256));
  if (!areNames || fallbackAgents.length > maxFallbacks)
    wrong.push(`fallbackAgents must be up to ${maxFallbacks} agent ids`);
  if (classify !== undefined && typeof classify !== 'function') wrong.push('classify must be a function');
  // A misspelt option would be one that silently does nothing.
  for (const field of Object.keys(options)) if (!known.has(field)) wrong.push(`${field} is no option of a breaker`);
  if (wrong.length > 0) throw wrongOptions(wrong);
  const limits = { failureThreshold, failureRatio, windowMs, recoveryTimeMs, maxRecoveryTimeMs, slowCallMs };
  const target = typeof agent === 'string' ? agent : JSON.stringify(agent, describeOdd);
  return {
    ...limits,
    agent: typeof agent === 'string' ? agent : undefined,
    method,
    id: options.id ?? defaultId(target, method),
    scope,
    fallbackAgents: [...fallbackAgents],
    classify,
    protects: (record) => (tests === undefined ? record.id === agent : holdsFor(record, tests)),
    fingerprint: JSON.stringify([target, method, limits, scope, fallbackAgents]),
  };
}

type NumberOption =
  | 'failureThreshold'
  | 'failureRatio'
  | 'windowMs'
  | 'recoveryTimeMs'
  | 'maxRecoveryTimeMs'
  | 'slowCallMs';

/** The id as part of a key: without slashes, and never long. */
export function keyPart(id: string): string {
  return !/[/%]/.test(id) && Buffer.byteLength(id) <= 100 ? id : `%${hash('sha256', id, 'base64url')}`;
}

function defaultId(target: string, method: string | undefined): string {
  const id = method === undefined ? target : `${target}.${method}`;
  return Buffer.byteLength(id) <= maxIdBytes ? id : hash('sha256', id, 'base64url');
}

/** What JSON does not know, so that criteria that differ have texts that differ. */
function describeOdd(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (value instanceof Map) return { map: [...value] };
  return value;
}

function holdsFor(record: AgentRecord, tests: readonly Test[]): boolean {
  for (const test of tests) if (!test.holds(record)) return false;
  return true;
}

function isName(value: unknown, maxBytes: number): boolean {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= maxBytes;
}

function checkName(wrong: string[], name: string, value: unknown, maxBytes: number): void {
  if (value !== undefined && !isName(value, maxBytes)) wrong.push(`${name} must be a string of 1 to ${maxBytes} bytes`);
}

export function wrongOptions(wrong: readonly string[]): QuorateError {
  return new QuorateError('INVALID_ARGUMENT', `This breaker cannot be made: ${wrong.join('; ')}.`, { wrong });
}
