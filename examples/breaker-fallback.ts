// A process that answers is killed: the breaker opens, a fallback answers, and one probe finds the restarted one.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { createMesh, isQuorateError } from 'quorate';

const [agent, ...bootstrap] = process.argv.slice(2);
await using mesh = await createMesh({ mode: 'cluster', bootstrap });

if (agent !== undefined) {
  await mesh.registry.register(agent, () => `${agent} answered`, { capabilities: ['infer'] });
  process.send?.('ready');
  await once(process, 'disconnect');
} else {
  const host = async (name: string): Promise<ChildProcess> => {
    const child = fork(import.meta.filename, [name, ...mesh.status().addresses]);
    await once(child, 'message');
    while (mesh.registry.lookup(name) === undefined) await pause(5);
    return child;
  };
  const breaker = mesh.infrastructure.circuitBreaker({
    agent: 'inference',
    failureThreshold: 3,
    recoveryTimeMs: 500,
    fallbackAgents: ['backup'],
  });
  breaker.onChange(({ previous, state, reason }) => console.log(`breaker: ${previous} → ${state} (${reason})`));

  let [inference, backup] = await Promise.all([host('inference'), host('backup')]);
  let by = '';
  const ask = async (): Promise<string> => {
    try {
      const answer = await mesh.call<string>('inference', 'Hello', {
        timeoutMs: 1_000,
        onAnswered: ({ agent: who, fallbackFor }) => {
          by = fallbackFor === undefined ? who : `${who}, for ${String(fallbackFor)}`;
        },
      });
      return `${answer} (by ${by})`;
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      return `failed: ${error.code}`;
    }
  };
  /** Says each kind of answer once, until one is as wanted. */
  const askUntil = async (wanted: RegExp): Promise<void> => {
    const started = performance.now();
    let last = '';
    for (let answer = ''; !wanted.test(answer); await pause(20)) {
      answer = await ask();
      if (answer !== last) console.log(`${String(Math.round(performance.now() - started)).padStart(5)} ms: ${answer}`);
      last = answer;
      assert.ok(performance.now() - started < 30_000, `no answer like ${wanted} within 30 s`);
    }
  };

  await askUntil(/^inference/);
  console.log('kill -9');
  inference.kill('SIGKILL');
  await askUntil(/^backup/);
  while (mesh.registry.lookup('inference') !== undefined) await pause(5); // its id is free again
  console.log('restarted');
  inference = await host('inference');
  await askUntil(/^inference/);
  const { refused, fallbacks, probes } = breaker.status();
  console.log(`refused ${refused}, answered by the fallback ${fallbacks}, probes ${probes}`);
  for (const child of [inference, backup]) child.disconnect();
  await Promise.all([once(inference, 'exit'), once(backup, 'exit')]);
}
