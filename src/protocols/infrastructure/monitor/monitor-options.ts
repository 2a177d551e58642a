/** Options of a monitor, checked once, with their defaults. */
import { hash } from 'node:crypto';
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { Aggregation, BuiltInMetric, MonitorOptions } from './monitor.ts';

export interface Thresholds {
  readonly warning: number | undefined;
  readonly critical: number | undefined;
  readonly direction: 'above' | 'below';
  /** Share of a threshold. */
  readonly hysteresis: number;
}

export interface ResolvedMonitorOptions {
  readonly id: string;
  readonly metric: string;
  readonly aggregation: Aggregation;
  readonly agent: AgentId | undefined;
  readonly thresholds: Thresholds;
  readonly windowMs: number;
  readonly minSamples: number;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly notify: { readonly agents: readonly AgentId[]; readonly method: string } | undefined;
}

const builtInMetrics: ReadonlySet<string> = new Set<BuiltInMetric>([
  'coordinationLatency',
  'callLatency',
  'eventLoopLag',
  'cpu',
  'memory',
  'mailboxDepth',
  'variableSkew',
  'replicationLag',
]);
const byAgent: ReadonlySet<string> = new Set<BuiltInMetric>(['callLatency', 'mailboxDepth']);

const text = (longest: number) =>
  v.pipe(
    v.string('must be a string'),
    v.minLength(1, 'must not be empty'),
    v.maxLength(longest, `must have at most ${longest} characters`),
  );
const finite = v.pipe(v.number('must be a number'), v.finite('must be finite'));
const within = (low: number, high: number) =>
  v.pipe(finite, v.minValue(low, `must be at least ${low}`), v.maxValue(high, `must be at most ${high}`));
const aggregations = ['p50', 'p90', 'p95', 'p99', 'mean', 'min', 'max', 'sum', 'count', 'rate'] as const;

const schema = v.strictObject({
  id: text(128),
  metric: text(64),
  aggregation: v.optional(v.picklist(aggregations, `must be one of ${aggregations.join(', ')}`), 'p95'),
  agent: v.optional(text(256)),
  thresholds: v.optional(v.strictObject({ warning: v.optional(finite), critical: v.optional(finite) }), {}),
  direction: v.optional(v.picklist(['above', 'below'], "must be 'above' or 'below'"), 'above'),
  hysteresis: v.optional(within(0, 1), 0.1),
  // Shorter ones would be sent more often than they are worth, longer ones are what logs are for.
  windowMs: v.optional(within(1_000, 86_400_000), 60_000),
  minSamples: v.optional(v.pipe(within(0, 1e9), v.integer('must be a whole number')), 1),
  scope: v.optional(v.picklist(['node', 'zone', 'cluster'], "must be 'node', 'zone' or 'cluster'"), 'cluster'),
  notify: v.optional(
    v.strictObject({
      agents: v.pipe(
        v.array(text(256), 'must be a list of agents'),
        v.minLength(1, 'must name at least one agent'),
        v.maxLength(32, 'must name at most 32 agents'),
      ),
      method: v.optional(text(128), 'alert'),
    }),
  ),
});

/** Throws `INVALID_ARGUMENT` with every wrong field in `data.fields`. */
export function resolveMonitorOptions(options: MonitorOptions): ResolvedMonitorOptions {
  const fields: Record<string, string> = {};
  const parsed = v.safeParse(schema, options);
  if (!parsed.success) {
    for (const issue of parsed.issues) {
      fields[v.getDotPath(issue) ?? '(options)'] ??=
        issue.type === 'strict_object' ? objectProblem(issue) : issue.message;
    }
    throw invalid(fields);
  }
  const { thresholds, direction, hysteresis, ...rest } = parsed.output;
  const { warning, critical } = thresholds;
  if (rest.agent !== undefined && !byAgent.has(rest.metric) && builtInMetrics.has(rest.metric)) {
    fields['agent'] = `says nothing for ${rest.metric}, which no agent has of its own`;
  }
  const wrongOrder =
    warning !== undefined &&
    critical !== undefined &&
    (direction === 'above' ? critical < warning : critical > warning);
  if (wrongOrder) fields['thresholds.critical'] = `must be ${direction} the warning, or be equal to it`;
  if (Object.keys(fields).length > 0) throw invalid(fields);
  return {
    ...rest,
    agent: rest.agent,
    notify: rest.notify,
    thresholds: { warning, critical, direction, hysteresis },
  };
}

function invalid(fields: Readonly<Record<string, string>>): QuorateError {
  const list = Object.entries(fields).map(([field, problem]) => `${field} ${problem}`);
  return new QuorateError('INVALID_ARGUMENT', `The monitor cannot be made: ${list.join('; ')}.`, { fields });
}

/** Of an object valibot says in one kind of issue that it is none, lacks a field, or has one too many. */
function objectProblem({ expected }: { readonly expected: string | null }): string {
  if (expected === 'never') return 'is no option of a monitor';
  return expected === 'Object' ? 'must be an object' : 'must be given';
}

/** Equal for monitors whose measurements may be put together; thresholds are the business of whoever raises alerts. */
export function measureDigest({ metric, agent, windowMs, scope }: ResolvedMonitorOptions): string {
  return hash('sha256', JSON.stringify([metric, agent ?? null, windowMs, scope]), 'hex').slice(0, 16);
}
