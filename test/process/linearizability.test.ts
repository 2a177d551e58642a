/** A short run of what `npm run soak -- linearizability` does for minutes: one validator killed, one stopped, one cut off. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { run } from '../linearizability/cluster/run.ts';

it('locks, registers and names are linearizable, and nothing acknowledged is lost, through a kill, a stop and a partition', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-linearizability-'));
  const plan = ['kill validator', 'pause validator', 'cut validator off'] as const;
  const report = await run({ seed: 7, directory, clients: 2, faults: { plan } });
  const { passed, failures, verdicts, durability, faults } = report;
  // With these an error shows what contradicts what; the directory is left for whoever looks into it.
  expect({ failures, lost: durability.lost, explanations: verdicts.flatMap((one) => one.explanations) }).toEqual({
    failures: [],
    lost: [],
    explanations: [],
  });
  expect(passed, `see ${directory}`).toBe(true);
  expect(faults.map(({ kind }) => kind)).toEqual(plan);
  // A run in which nothing happened would prove nothing.
  for (const { operations, model } of verdicts) expect(operations, model).toBeGreaterThan(10);
  expect(durability.acknowledged).toBeGreaterThan(10);
  await rm(directory, { recursive: true, force: true });
}, 300_000);
