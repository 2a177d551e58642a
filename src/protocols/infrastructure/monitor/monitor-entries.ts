/**
 * What monitors write into the store `counters`, and its validation. Under `monitor/<id>`: that a node has the monitor, and what it has measured.
 * Under `alert/<id>`: the state of the alert, as whoever raises it last knew. Entries of others become an accepted type within bounds, or undefined.
 */
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { Measured } from './aggregate.ts';
import { type AlertState, changesPerIncident } from './incident.ts';
import type { AlertLevel } from './monitor.ts';
import { decodeSketch, encodeSketch } from './sketch-bytes.ts';

export const monitorKey = (id: string): string => `monitor/${id}`;
export const alertKey = (id: string): string => `alert/${id}`;

/** Of the stamps of others that are ahead of this node's clock, milliseconds. */
export const maxAheadMs = 60_000;
const longestIncident = 256;
const longestNodeId = 128;

export interface MonitorEntry {
  /** `measureDigest`: only equal ones are put together. */
  readonly digest: string;
  /** Wall clock when the first of the nodes that know each other made the monitor. */
  readonly birth: number;
  /** Undefined: nothing within the window. */
  readonly measured: Measured | undefined;
}

export function monitorValue({ digest, birth, measured }: MonitorEntry): Value {
  if (measured === undefined) return { d: digest, b: birth };
  const { sketch, coveredMs } = measured;
  const { sum, min, max } = sketch;
  return { d: digest, b: birth, s: encodeSketch(sketch), sum, min, max, ms: coveredMs };
}

/** `wallNow` is this node's. */
export function parseMonitorEntry(value: Value, wallNow: number): MonitorEntry | undefined {
  const entry = fieldsOf(value);
  if (entry === undefined) return undefined;
  const { d: digest, b: birth, s: bytes } = entry;
  if (typeof digest !== 'string' || !/^[0-9a-f]{16}$/.test(digest) || !isStamp(birth, wallNow)) return undefined;
  if (bytes === undefined) return { digest, birth, measured: undefined };
  const measured = parseMeasured(entry);
  return measured === undefined ? undefined : { digest, birth, measured };
}

function parseMeasured(entry: Fields): Measured | undefined {
  const { s: bytes, sum, min, max, ms: coveredMs } = entry;
  if (
    !(bytes instanceof Uint8Array) ||
    !isFiniteNumber(sum) ||
    !isFiniteNumber(min) ||
    !isFiniteNumber(max) ||
    !isFiniteNumber(coveredMs)
  ) {
    return undefined;
  }
  const sketch = decodeSketch(bytes);
  if (sketch === undefined || sketch.count === 0 || min > max || coveredMs < 0) return undefined;
  // Sums may be rounded; what is further off is no sum of such numbers.
  const give = 1e-6 * sketch.count * Math.max(Math.abs(min), Math.abs(max));
  if (sum < min * sketch.count - give || sum > max * sketch.count + give) return undefined;
  sketch.sum = sum;
  sketch.min = min;
  sketch.max = max;
  return { sketch, coveredMs };
}

export function alertValue(state: AlertState): Value {
  const { incident, level, previous, change, value, threshold, at, raisedBy, told } = state;
  const crossed = threshold === undefined ? {} : { t: threshold };
  return { i: incident, l: level, p: previous, c: change, v: value, ...crossed, at, r: raisedBy, told };
}

export function parseAlertEntry(value: Value, wallNow: number): AlertState | undefined {
  const entry = fieldsOf(value);
  if (entry === undefined) return undefined;
  const { i: incident, l: level, p: previous, c: change, v: figure, t: threshold, at, r: raisedBy, told } = entry;
  if (typeof incident !== 'string' || incident.length < 1 || incident.length > longestIncident) return undefined;
  if (!isLevel(level) || !isLevel(previous) || typeof told !== 'boolean' || !isStamp(at, wallNow)) return undefined;
  if (typeof change !== 'number' || !Number.isInteger(change) || change < 0 || change >= changesPerIncident)
    return undefined;
  if (!(figure === undefined || isFiniteNumber(figure)) || !(threshold === undefined || isFiniteNumber(threshold)))
    return undefined;
  // A claim like the rest: whoever carries another's alert on repeats its name.
  if (typeof raisedBy !== 'string' || raisedBy.length < 1 || raisedBy.length > longestNodeId) return undefined;
  return { incident, level, previous, change, value: figure, threshold, at, raisedBy: raisedBy as NodeId, told };
}

type Fields = { readonly [key: string]: Value };

function fieldsOf(value: Value): Fields | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? (value as Fields) : undefined;
}

function isFiniteNumber(value: Value): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** A stamp further ahead could never be followed by an honest one. */
function isStamp(value: Value, wallNow: number): value is number {
  return isFiniteNumber(value) && value >= 0 && value <= wallNow + maxAheadMs;
}

function isLevel(value: Value): value is AlertLevel {
  return value === 'ok' || value === 'warning' || value === 'critical';
}
