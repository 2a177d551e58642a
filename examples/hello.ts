// Hello mesh, in one process: register an agent, find it by what it can do, call it.
import { createMesh } from 'quorate';

await using mesh = await createMesh();

await mesh.registry.register('greeter', ({ name }: { name: string }) => `Hello, ${name}!`, {
  capabilities: ['greet'],
});

const found = mesh.registry.query({ capabilities: 'greet' });
console.log(`found ${found.map((agent) => agent.id).join(', ')}`);
console.log(await mesh.call({ capabilities: 'greet' }, { name: 'mesh' }));
