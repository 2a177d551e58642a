/** One seed, and what to say when it fails. */
import { type Fault, type Plan, planFor } from './plan.ts';
import { type RunResult, Simulation } from './simulation.ts';

/** Lines of trace a report ends with. */
const traceLines = 60;

export function runSeed(seed: number, only?: readonly string[]): RunResult & { readonly plan: Plan } {
  const plan = planFor(seed, only);
  return { plan, ...new Simulation(plan, false).run() };
}

/** The violation of a failing plan, with the fewest faults that still bring it about, and the end of its trace. */
export function reportFailure(plan: Plan, violation: string, only?: readonly string[]): string {
  const smallest = shrink(plan, violation);
  const { trace, violation: again } = new Simulation(smallest, true).run();
  const { faults, ...rest } = smallest;
  return [
    `seed ${plan.seed}: ${violation}`,
    `repeat: node scripts/soak-pbft.ts --from ${plan.seed} --seeds 1${only === undefined ? '' : ` --only ${only.join(',')}`}`,
    `fewest faults (${faults.length} of ${plan.faults.length}): ${again}`,
    JSON.stringify(rest),
    ...faults.map((fault) => `  ${JSON.stringify(fault)}`),
    ...trace.slice(-traceLines),
  ].join('\n');
}

/** Leaves out faults one by one while the same kind of violation remains. */
function shrink(plan: Plan, violation: string): Plan {
  const kind = violation.split(':')[0];
  const fails = (candidate: Plan): boolean => new Simulation(candidate, false).run().violation?.split(':')[0] === kind;
  let smallest = plan;
  for (const fault of plan.faults) {
    const candidate = without(smallest, fault);
    if (fails(candidate)) smallest = candidate;
  }
  const gentle: Plan = { ...smallest, conditions: { ...smallest.conditions, loss: 0, duplication: 0 } };
  if (fails(gentle)) smallest = gentle;
  return smallest;
}

const without = (plan: Plan, fault: Fault): Plan => ({ ...plan, faults: plan.faults.filter((one) => one !== fault) });
