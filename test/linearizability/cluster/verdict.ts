/** What the record of a run says: whether each object behaved like one, and whether everything acknowledged is still there. */
import { checkHistory, defaultBudget } from '../checker.ts';
import { explain } from '../explain.ts';
import type { History } from '../history.ts';
import { minimise } from '../minimise.ts';
import type { Model } from '../model.ts';
import { lockModel } from '../models/lock.ts';
import { nameModel } from '../models/name.ts';
import { registerModel } from '../models/register.ts';
import type { RunRecord } from './record.ts';

export interface ModelVerdict {
  readonly model: string;
  readonly verdict: 'linearizable' | 'violation' | 'undecided';
  readonly operations: number;
  readonly unknown: number;
  readonly objects: number;
  /** Of what is wrong, for a person. */
  readonly explanations: readonly string[];
}

/** The margin of a holder (a tenth of 5 s), two clocks wrong by 80 ms in opposite directions, and rounding. */
const slackMs = 700;
/** When the usual budget does not do: some minutes and gigabytes for one object at worst. */
const largeBudget = { maxSteps: defaultBudget.maxSteps * 10, maxConfigurations: defaultBudget.maxConfigurations * 8 };

/** `onSlow` hears of searches that need more than usual. */
export function judge(record: RunRecord, onSlow: (line: string) => void = () => undefined): ModelVerdict[] {
  return [
    judgeOne(registerModel({ versions: 'rising' }), record.registerHistory(), onSlow),
    judgeOne(lockModel({ slackMs }), record.lockHistory(), onSlow),
    judgeOne(nameModel(), record.nameHistory(), onSlow),
  ];
}

function judgeOne<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: History<Input, Output>,
  onSlow: (line: string) => void,
): ModelVerdict {
  const report = checkHistory(model, history);
  const explanations: string[] = [];
  let undecided = 0;
  for (const { key, operations, verdict } of report.keys) {
    let last: typeof verdict | undefined = verdict;
    if (last.kind === 'undecided') {
      onSlow(
        `${model.name} ${key}, ${operations.length} operations: the usual budget does not do, trying a larger one.`,
      );
      last = checkHistory(model, operations, largeBudget).keys[0]?.verdict;
    }
    if (last?.kind === 'undecided') undecided += 1;
    if (last?.kind !== 'violation') continue;
    const contradiction = minimise(model, operations);
    explanations.push(
      contradiction === undefined
        ? `${model.name} ${key}: a violation that could not be made smaller; see the history.`
        : explain(model, contradiction),
    );
  }
  return {
    model: model.name,
    verdict: explanations.length > 0 ? 'violation' : undecided > 0 ? 'undecided' : 'linearizable',
    operations: history.length,
    unknown: history.filter(({ outcome }) => outcome.kind === 'info').length,
    objects: report.keys.length,
    explanations,
  };
}

export interface Durability {
  /** Changes that were acknowledged. */
  readonly acknowledged: number;
  readonly lost: readonly string[];
}

/** The last read of each register has the newest acknowledged version or a later one, and its value. Says less than linearizability, and says it plainly. */
export function durability(record: RunRecord, finalReader: string): Durability {
  const lost: string[] = [];
  let acknowledged = 0;
  const newest = new Map<string, { readonly version: number; readonly value: string | null }>();
  const last = new Map<string, { readonly version: number; readonly value: string | null }>();
  for (const { key, process, input, outcome } of record.registerHistory()) {
    if (outcome.kind !== 'ok') continue;
    const { output } = outcome;
    if (output.type === 'read') {
      if (process === finalReader) last.set(key, { version: output.version ?? 0, value: output.value });
      continue;
    }
    if (input.type === 'read' || (output.type === 'cas' && !output.swapped)) continue;
    acknowledged += 1;
    const version = output.version ?? 0;
    if (version > (newest.get(key)?.version ?? 0)) newest.set(key, { version, value: input.value });
  }
  for (const [key, write] of newest) {
    const read = last.get(key);
    const there = read !== undefined && read.version >= write.version;
    if (!there || (read.version === write.version && read.value !== write.value)) {
      lost.push(`${key}: acknowledged ${JSON.stringify(write)}, at the end ${JSON.stringify(read ?? null)}`);
    }
  }
  return { acknowledged, lost };
}
