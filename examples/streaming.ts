// Discovery and a streaming call: find an agent by what it can do, stream text in, read results as they come.
import { type CallContext, createMesh } from 'quorate';

await using worker = await createMesh({ mode: 'cluster', name: 'streaming' });
await using client = await createMesh({ mode: 'cluster', name: 'streaming', bootstrap: worker.status().addresses });

const counter = {
  // Called once; reads what the caller streams in and answers item by item. A slow reader slows it down.
  async *longest(minimum: number, { input }: CallContext) {
    for await (const line of input) {
      const words = String(line).split(/\W+/);
      const [longest = ''] = words.sort((a, b) => b.length - a.length);
      if (longest.length >= minimum) yield { line: String(line), longest };
    }
  },
};
await worker.registry.register('counter-1', counter, { capabilities: ['words'], health: 'healthy' });

// The other node hears of it within milliseconds; `watch` begins with what is there already.
for await (const event of client.registry.watch({ capabilities: 'words' })) if (event.type === 'up') break;

async function* lines() {
  yield 'to be, or not to be';
  yield 'whether tis nobler in the mind to suffer';
  yield 'the slings and arrows of outrageous fortune';
}

const agent = client.ref<typeof counter>({ capabilities: 'words' });
for await (const { line, longest } of agent.longest.stream(6, { input: lines() })) console.log(`${longest} ← ${line}`);
