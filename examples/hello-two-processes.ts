// Hello mesh, in two processes: the same lines as hello.ts, with one option changed. The greeter runs in a child process.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createMesh } from 'quorate';

const bootstrap = process.argv.slice(2);
const isChild = bootstrap.length > 0;

await using mesh = await createMesh({ mode: 'cluster', bootstrap });

if (isChild) {
  await mesh.registry.register(
    'greeter',
    ({ name }: { name: string }) => `Hello, ${name}, from process ${process.pid}!`,
    {
      capabilities: ['greet'],
    },
  );
  await once(process, 'disconnect');
} else {
  const child = fork(import.meta.filename, [...mesh.status().addresses]);
  for await (const event of mesh.registry.watch({ capabilities: 'greet' })) {
    console.log(`found ${event.record.id}, in another process: ${event.record.node !== mesh.id}`);
    break;
  }
  console.log(await mesh.call({ capabilities: 'greet' }, { name: `process ${process.pid}` }));
  child.disconnect();
  await once(child, 'exit');
}
