/** One side of the calls benchmark on Quorate: TLS, signed registry, a mesh of two processes. */
import { createMesh } from '../../src/index.ts';
import { payload, serveParent, tell } from './side.ts';

const [side, address] = process.argv.slice(2);
const mesh = await createMesh({
  mode: 'cluster',
  name: 'calls',
  bootstrap: address === undefined ? [] : [address],
});

if (side === 'callee') {
  await mesh.registry.register(
    'echo',
    {
      echo: (message: unknown) => message,
      async *items({ count, bytes }: { readonly count: number; readonly bytes: number }) {
        const item = new Uint8Array(bytes);
        for (let index = 0; index < count; index++) yield item;
      },
    },
    { capabilities: ['echo'] },
  );
  tell({ type: 'ready', address: mesh.status().addresses[0] ?? '' });
  process.on('disconnect', () => process.exit(0));
} else {
  await mesh.registry.register('local', (message: unknown) => message, { capabilities: ['echo'] });
  for await (const event of mesh.registry.watch()) if (event.record.id === 'echo') break;
  tell({ type: 'ready', address: '' });
  const method = { method: 'echo' };
  serveParent({
    call: () => mesh.call('echo', payload, method),
    local: () => mesh.call('local', payload),
    stream: async (count, bytes) => {
      let received = 0;
      const options = { method: 'items', timeoutMs: 60_000 };
      for await (const item of mesh.stream<Uint8Array>('echo', { count, bytes }, options)) received += item.length;
      return received;
    },
  });
}
