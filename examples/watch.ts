// Watch: follow who can do something, as agents come, change and go. Works the same across processes.
import { createMesh } from 'quorate';

await using mesh = await createMesh();
const stop = new AbortController();

const watching = (async () => {
  // Begins with an `up` for each agent that matches now; an agent that stops matching is `down` too.
  for await (const event of mesh.registry.watch({ capabilities: 'translate', health: 'healthy' }, stop)) {
    const { id, capacity } = event.record;
    if (event.type === 'down') console.log(`- ${id} (${event.reason})`);
    else console.log(`${event.type === 'up' ? '+' : '~'} ${id}, free cpu ${capacity['cpu']}`);
    if (event.type === 'down' && event.reason === 'unregistered') stop.abort();
  }
})();

const translate = (text: string) => text.toUpperCase();
const french = await mesh.registry.register('french', translate, { capabilities: ['translate'], capacity: { cpu: 1 } });
const german = await mesh.registry.register('german', translate, { capabilities: ['translate'], capacity: { cpu: 2 } });
await french.update({ capacity: { cpu: 0.5 } });
await german.update({ health: 'unhealthy' });
await german.update({ health: 'healthy', capacity: { cpu: 3 } });
await french.unregister();

await watching;
console.log(`left: ${mesh.registry.query({ capabilities: 'translate' }).map(({ id }) => id)}`);
