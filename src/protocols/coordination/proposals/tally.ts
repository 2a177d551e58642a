/**
 * Counting votes. Pure, and the only place that knows what a rule needs: the reducer decides by it, and what a decision shows is counted by it.
 *
 * Accepted is a value once its votes reach the rule and, in every named zone, more than half of that zone's weight. Rejected is a
 * proposal once that cannot happen any more, for any value, even if all who are silent voted for it.
 */
import { quorum } from '../../pbft/quorum.ts';
import type { SeatRecord } from './commands.ts';
import type { DecisionRule } from './proposals.ts';

/** What counting looks at. */
export interface Countable {
  readonly rule: DecisionRule;
  readonly zones: readonly string[];
  readonly participants: readonly SeatRecord[];
}

export interface Need {
  readonly counts: 'weight' | 'participants';
  readonly needed: number;
  readonly total: number;
}

/** What it takes to accept. */
export function needOf(rule: DecisionRule, participants: readonly { readonly weight: number }[]): Need {
  const heads = participants.length;
  const weight = participants.reduce((sum, one) => sum + one.weight, 0);
  if (rule === 'majority') return { counts: 'weight', needed: Math.floor(weight / 2) + 1, total: weight };
  if (rule === 'unanimous') return { counts: 'weight', needed: weight, total: weight };
  if ('weighted' in rule) return { counts: 'weight', needed: rule.weighted, total: weight };
  if ('quorum' in rule) return { counts: 'participants', needed: rule.quorum, total: heads };
  return { counts: 'participants', needed: quorum(heads, rule.byzantine), total: heads };
}

/** Why this rule can never be met by so many participants: what to refuse the proposal with. */
export function ruleProblem(
  rule: DecisionRule,
  participants: readonly { readonly weight: number }[],
): { readonly minimum: number; readonly actual: number; readonly f?: number } | 'too-heavy' | undefined {
  const { total } = needOf(rule, participants);
  if (typeof rule === 'string') return undefined;
  if ('weighted' in rule) return rule.weighted > total ? 'too-heavy' : undefined;
  const minimum = 'quorum' in rule ? rule.quorum : 3 * rule.byzantine + 1;
  if (total >= minimum) return undefined;
  return { minimum, actual: total, ...('byzantine' in rule ? { f: rule.byzantine } : {}) };
}

export interface ChoiceCount {
  /** Encoded; undefined: the proposal as it is. */
  readonly value: Uint8Array | undefined;
  count: number;
  readonly seats: SeatRecord[];
}

export interface Count extends Need {
  /** In the order of the participants. */
  readonly choices: readonly ChoiceCount[];
  readonly rejected: number;
  readonly missing: number;
}

export function count(proposal: Countable): Count {
  const need = needOf(proposal.rule, proposal.participants);
  const choices = new Map<string, ChoiceCount>();
  let rejected = 0;
  let missing = 0;
  for (const seat of proposal.participants) {
    const amount = need.counts === 'weight' ? seat.weight : 1;
    if (seat.vote === undefined) missing += amount;
    else if (!seat.vote.accept) rejected += amount;
    else {
      const { value } = seat.vote;
      const key = value === undefined ? '' : `=${Buffer.from(value).toString('latin1')}`;
      const choice: ChoiceCount = choices.get(key) ?? { value, count: 0, seats: [] };
      choice.count += amount;
      choice.seats.push(seat);
      choices.set(key, choice);
    }
  }
  return { ...need, choices: [...choices.values()], rejected, missing };
}

export type Verdict =
  | { readonly kind: 'accepted'; readonly value: Uint8Array | undefined }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'open' };

/** What the votes so far mean. */
export function judge(proposal: Countable): Verdict {
  const counted = count(proposal);
  const zones = zoneNeeds(proposal);
  const winner = counted.choices.find(
    (choice) =>
      choice.count >= counted.needed && zones.every((zone) => weightIn(zone.name, choice.seats) >= zone.needed),
  );
  if (winner !== undefined) return { kind: 'accepted', value: winner.value };
  // The empty choice stands for a value that nobody has named yet; it matters only while there is no other.
  const reachable = [...counted.choices, { count: 0, seats: [] }].some(
    (choice) =>
      choice.count + counted.missing >= counted.needed &&
      zones.every((zone) => weightIn(zone.name, choice.seats) + zone.missing >= zone.needed),
  );
  return { kind: reachable ? 'open' : 'rejected' };
}

interface ZoneNeed {
  readonly name: string;
  readonly needed: number;
  readonly missing: number;
}

function zoneNeeds({ zones, participants }: Countable): ZoneNeed[] {
  return zones.map((name) => {
    const silent = participants.filter((seat) => seat.vote === undefined);
    return { name, needed: Math.floor(weightIn(name, participants) / 2) + 1, missing: weightIn(name, silent) };
  });
}

function weightIn(zone: string, seats: readonly SeatRecord[]): number {
  return seats.reduce((sum, seat) => (seat.zone === zone ? sum + seat.weight : sum), 0);
}
