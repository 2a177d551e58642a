// One temperature for a fleet: every agent that can "llm" is told of each change, wherever it runs, and also when it appears later.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createMesh, type VariableNotice } from 'quorate';

const bootstrap = process.argv.slice(2);
await using mesh = await createMesh({ mode: 'cluster', bootstrap });

// The same line on every node that reads or sets it; `value` is as cheap as a field.
const temperature = mesh.variables.float('temperature', {
  min: 0,
  max: 2,
  step: 0.05,
  default: 0.7,
  affects: { capabilities: 'llm' },
  resolve: 'median',
});

if (bootstrap.length > 0) {
  const llm = {
    complete: (prompt: string) => `${prompt} … (at ${temperature.value})`,
    variableChanged: ({ variable, value }: VariableNotice<number>) => void process.send?.({ variable, value }),
  };
  await mesh.registry.register(`llm-${process.pid}`, llm, { capabilities: ['llm'] });
  await once(process, 'disconnect');
} else {
  const workers = [1, 2, 3].map(() => fork(import.meta.filename, [...mesh.status().addresses]));
  const notices = workers.map(async (worker) => {
    for (;;) {
      const [{ variable, value }] = (await once(worker, 'message')) as [{ variable: string; value: number }];
      if (value === 0.25) return `${variable} is ${value}`;
    }
  });
  await temperature.set(0.25);
  console.log(`here at once: ${temperature.value}`);
  for (const notice of await Promise.all(notices)) console.log(`an agent was told: ${notice}`);
  console.log(await mesh.call({ capabilities: 'llm' }, 'Once upon a time', { method: 'complete' }));
  console.log(temperature.explain().summary);
  for (const worker of workers) worker.disconnect();
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}
