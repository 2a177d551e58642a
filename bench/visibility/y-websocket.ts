/** The same two sides on y-websocket with the server that comes with it: the reference. */
import { createRequire } from 'node:module';
import { changeEvery, entry, machineNow, type Side, tell } from './side.ts';

/** The few members used of the packages in bench/node_modules, which the project itself does not depend on. */
interface SharedMap {
  set(key: string, value: unknown): void;
  get(key: string): unknown;
  observe(listener: (event: { readonly keysChanged: ReadonlySet<string> }) => void): void;
}
const require = createRequire(new URL('../package.json', import.meta.url));
const Y = require('yjs') as { Doc: new () => { getMap(name: string): SharedMap } };
const { WebsocketProvider } = require('y-websocket') as {
  WebsocketProvider: new (
    url: string,
    room: string,
    doc: object,
    options: object,
  ) => { on(event: 'sync', listener: (synced: boolean) => void): void };
};
const WebSocketPolyfill = require('ws') as unknown;

const side = process.argv[2] as Side;
const doc = new Y.Doc();
const map = doc.getMap('entries');
const provider = new WebsocketProvider(process.argv[3] ?? '', 'visibility', doc, {
  WebSocketPolyfill,
  disableBc: true,
});
await new Promise<void>((resolve) => provider.on('sync', (synced) => synced && resolve()));

if (side === 'reader') {
  map.observe((event) => {
    for (const key of event.keysChanged) {
      const sentAt = (map.get(key) as { at: number }).at;
      if (sentAt > 0) tell({ type: 'latency', ms: machineNow() - sentAt });
    }
  });
  tell({ type: 'ready', address: '' });
} else {
  for (let key = 0; key < 100; key++)
    map.set(`entry-${key}`, { id: `entry-${key}`, capabilities: ['a', 'b'], ...entry(0, 0) });
  tell({ type: 'ready', address: '' });
  await changeEvery(10, (round) => {
    const key = `entry-${round % 100}`;
    map.set(key, { id: key, capabilities: ['a', 'b'], ...entry(machineNow(), round) });
  });
}
