/** The part of `quorate doctor` about variables, breakers, limits and monitors. Pure: from what the node says of itself and others announce. */
import type { Mesh } from '../mesh.ts';
import type { Diagnosis } from './finding.ts';

type Status = ReturnType<Mesh['status']>;
type Announced = ReturnType<Mesh['variables']['announced']>;
type Infrastructure = Status['infrastructure'];

/** Findings told one by one; more are counted. */
const maxFindings = 10;

/** One finding for each thing that is wrong, or one that all is well; nothing of what this node does not have. */
export function diagnoseTuning({ variables, infrastructure }: Status, announced: Announced): Diagnosis[] {
  const { breakers, limiters, monitors } = infrastructure;
  return [
    ...findings('variables', conflicts(variables, announced), `${announced.length} announced, no conflict`, announced),
    ...findings('breakers', openBreakers(breakers), `${breakers.length} here, none open`, breakers),
    ...findings('limits', refusingLimits(limiters), `${limiters.length} here, nothing refused`, limiters),
    ...findings('monitors', alarms(monitors), `${monitors.length} here, all ok`, monitors),
  ];
}

function findings(
  check: string,
  bad: readonly Omit<Diagnosis, 'check'>[],
  well: string,
  all: readonly unknown[],
): Diagnosis[] {
  if (bad.length === 0) return all.length === 0 ? [] : [{ check, level: 'ok', found: well }];
  const told: Diagnosis[] = bad.slice(0, maxFindings).map((finding) => ({ check, ...finding }));
  if (bad.length > maxFindings) {
    const advice = 'Mend those above first, then ask again.';
    told.push({ check, level: 'warn', found: `${bad.length - maxFindings} more like these`, advice });
  }
  return told;
}

function conflicts(variables: Status['variables'], announced: Announced): Omit<Diagnosis, 'check'>[] {
  const own = variables.flatMap(({ name, conflict }) => (conflict === undefined ? [] : [{ name, conflict }]));
  const mine = own.map(({ conflict }) => ({
    level: 'fail' as const,
    found: `${conflict} What this node contributes counts nowhere.`,
    advice: "Define it alike in all programs, or raise its 'version' where it changed; then restart this one.",
  }));
  const others = announced
    .filter(({ name, conflicts: found }) => found.length > 0 && !own.some((one) => one.name === name))
    .map(({ name, conflicts: found }) => {
      const [first] = found;
      const fields = first?.difference.map(({ field, stands, differs }) => `${field} is ${stands}, there ${differs}`);
      return {
        level: 'warn' as const,
        found: `'${name}' is defined differently by ${found.map(({ node }) => node).join(', ')}: ${fields?.join('; ')}`,
        advice: 'What those nodes contribute counts nowhere: give their programs the definition of the others.',
      };
    });
  return [...mine, ...others];
}

function openBreakers(breakers: Infrastructure['breakers']): Omit<Diagnosis, 'check'>[] {
  return breakers.flatMap(({ id, agents }) =>
    agents
      .filter(({ state }) => state !== 'closed')
      .map(({ agent, state, reason, retryAfterMs }) => ({
        level: 'warn' as const,
        found: `breaker '${id}' is ${state} for agent '${agent}'${reason === undefined || reason === '' ? '' : `: ${reason}`}`,
        advice:
          retryAfterMs === undefined
            ? `It is being probed, or was opened by hand. Look at that agent; 'quorate breakers reset ${id}' closes it.`
            : `Look at that agent. It is tried again in ${Math.ceil(retryAfterMs / 1000)} s; 'quorate breakers reset ${id}' closes it at once.`,
      })),
  );
}

function refusingLimits(limiters: Infrastructure['limiters']): Omit<Diagnosis, 'check'>[] {
  return limiters
    .filter(({ refused }) => refused > 0)
    .map(({ id, refused, admitted, share, requestsPerSecond, demand }) => {
      const part = Number(share.toPrecision(3));
      const isShort = demand > share;
      return {
        level: 'warn' as const,
        found: `limit '${id}' has refused ${refused} of ${refused + admitted} here; this node may ${part} of ${requestsPerSecond}/s`,
        advice: isShort
          ? `More is asked for than there is (${Number(demand.toPrecision(3))}/s here): raise the limit, ask for less, or let calls wait (whenExceeded: 'wait'). Shares: 'quorate limits'.`
          : 'It is not short of anything now: those were bursts, or are over. A larger burst admits them.',
      };
    });
}

function alarms(monitors: Infrastructure['monitors']): Omit<Diagnosis, 'check'>[] {
  return monitors
    .filter(({ level }) => level !== 'ok')
    .map(({ id, level, metric, aggregation, value, samples, nodes }) => ({
      level: level === 'critical' ? ('fail' as const) : ('warn' as const),
      found: `monitor '${id}' is ${level}: ${aggregation} of ${metric} is ${value === undefined ? 'unknown' : Number(value.toPrecision(4))}, measured ${samples}× on ${nodes.length === 1 ? 'one node' : `${nodes.length} nodes`}`,
      advice: adviceOn(metric),
    }));
}

function adviceOn(metric: string): string {
  const known: Readonly<Record<string, string>> = {
    coordinationLatency: "'quorate validators' shows which validator is slow: its disk, or the way to it.",
    callLatency: "The agents called are slow, or too few: 'quorate agents' shows them, 'quorate breakers' who fails.",
    eventLoopLag: 'Something computes for long in one of those processes. Move it to a worker thread.',
    cpu: 'Those processes want more than they have: start more nodes, or give them less to do.',
    memory: 'Look for what grows in those processes; a restart buys time.',
    mailboxDepth: 'Agents get more than they do: start more of them, or limit who calls.',
    variableSkew: 'Some node has not contributed for long: is its tuner running?',
    replicationLag: "Feeds do not get through: look at the members ('quorate members') and the network between.",
  };
  return known[metric] ?? 'The application measures this: look at what it says about it.';
}
