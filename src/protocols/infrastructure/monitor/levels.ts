/**
 * From a value to a level, with hysteresis: a level is entered at its threshold, and left only when the value is better than that
 * by a share of it. So a value that hovers around a threshold raises one alert.
 */
import type { AlertLevel } from './monitor.ts';
import type { Thresholds } from './monitor-options.ts';

const severities: readonly AlertLevel[] = ['ok', 'warning', 'critical'];
export const severity = (level: AlertLevel): number => severities.indexOf(level);

/** Undefined: nothing is known, and what is not known to be bad is `ok`. */
export function levelAfter(current: AlertLevel, value: number | undefined, thresholds: Thresholds): AlertLevel {
  if (value === undefined) return 'ok';
  const plain = levelOf(value, thresholds, 0);
  if (severity(plain) >= severity(current)) return plain;
  const relaxed = levelOf(value, thresholds, thresholds.hysteresis);
  return severity(relaxed) < severity(current) ? relaxed : current;
}

/** The threshold that a change of level has crossed: that of the worse of the two levels. */
export function crossed(
  level: AlertLevel,
  previous: AlertLevel,
  { warning, critical }: Thresholds,
): number | undefined {
  const worse = severity(level) > severity(previous) ? level : previous;
  return worse === 'critical' ? critical : warning;
}

function levelOf(value: number, { warning, critical, direction }: Thresholds, margin: number): AlertLevel {
  const reaches = (threshold: number | undefined): boolean => {
    if (threshold === undefined) return false;
    const give = Math.abs(threshold) * margin;
    return direction === 'above' ? value >= threshold - give : value <= threshold + give;
  };
  return reaches(critical) ? 'critical' : reaches(warning) ? 'warning' : 'ok';
}
