/**
 * What is known of the alert of one monitor, and how the knowledge of several nodes comes together. Pure.
 *
 * Intuition: one node, the owner, judges the merged measurements and writes what follows as a new state; everybody, the next owner included, keeps
 * the latest state it has seen. An owner that takes over continues from that state, so an incident is not raised again.
 *
 * Invariants:
 * - states are totally ordered by stamp, then by who raised them; what is kept never goes back, whatever the order of arrival;
 * - an incident is named after the end of the one before it (after the monitor's birth for the first), so two owners that raise the
 *   same incident without knowing of each other, after a cut or while views differ, give it the same name;
 * - listeners hear of an incident only in changes of level, never twice of the same one in a row; an incident that another one
 *   has replaced is told to be over first.
 */
import type { NodeId } from '../../../node-id.ts';
import type { AlertLevel } from './monitor.ts';

export interface AlertState {
  readonly incident: string;
  readonly level: AlertLevel;
  /** The level before, as the owner knew it. */
  readonly previous: AlertLevel;
  /** Counts the changes of level within the incident, the first being 1; begins anew after 65,535. */
  readonly change: number;
  /** Undefined when it ended for lack of measurements. */
  readonly value: number | undefined;
  readonly threshold: number | undefined;
  /** Wall clock of who raised it, always later than the state before. */
  readonly at: number;
  readonly raisedBy: NodeId;
  /** All agents that are to be called with it have been, or are given up. */
  readonly told: boolean;
}

export const changesPerIncident = 0x1_0000;

export function isLater(a: AlertState, b: AlertState | undefined): boolean {
  return b === undefined || a.at > b.at || (a.at === b.at && a.raisedBy > b.raisedBy);
}

export interface Judgement {
  readonly level: AlertLevel;
  readonly value: number | undefined;
  readonly threshold: number | undefined;
}

export interface IncidentSource {
  /** Begins the names of incidents: the monitor, and what its scope is confined to. */
  readonly prefix: string;
  readonly birth: number;
  readonly self: NodeId;
  readonly wallNow: number;
  /** Nobody is to be called. */
  readonly told: boolean;
}

/** What the owner writes when it finds another level than the one known; `birth` names the first incident. */
export function nextState(
  current: AlertState | undefined,
  { level, value, threshold }: Judgement,
  by: IncidentSource,
): AlertState {
  const isOpen = current !== undefined && current.level !== 'ok';
  const incident = isOpen ? current.incident : `${by.prefix}/${Math.floor(current?.at ?? by.birth).toString(36)}`;
  const change = isOpen ? (current.change + 1) % changesPerIncident : 1;
  // Later than what it follows, even where the clock here is behind.
  const at = Math.max(by.wallNow, (current?.at ?? 0) + 1);
  const { self: raisedBy, told } = by;
  return { incident, level, previous: current?.level ?? 'ok', change, value, threshold, at, raisedBy, told };
}

export interface Adoption {
  readonly state: AlertState | undefined;
  /** In the order they are to be heard; `previous` is what was known here. */
  readonly changes: readonly AlertState[];
}

/** The later of what is known and what another says, and what listeners here hear of it. */
export function adopt(current: AlertState | undefined, said: AlertState): Adoption {
  if (!isLater(said, current)) {
    const isSame = current !== undefined && said.at === current.at && said.raisedBy === current.raisedBy;
    const learned = isSame && said.told && !current.told && said.incident === current.incident;
    return { state: learned ? { ...current, told: true } : current, changes: [] };
  }
  const previous = current?.level ?? 'ok';
  if (current === undefined || current.incident === said.incident || previous === 'ok') {
    return { state: said, changes: said.level === previous ? [] : [{ ...said, previous }] };
  }
  const change = (current.change + 1) % changesPerIncident;
  const over: AlertState = { ...said, incident: current.incident, level: 'ok', change, previous };
  return { state: said, changes: said.level === 'ok' ? [over] : [over, { ...said, previous: 'ok' }] };
}
