/** One side of the calls benchmark on moleculer with its TCP transporter: plain text, no encryption. */
import { createRequire } from 'node:module';
import { payload, serveParent, tell } from './side.ts';

interface Broker {
  createService(schema: object): unknown;
  start(): Promise<void>;
  waitForServices(name: string): Promise<void>;
  call(action: string, params: unknown): Promise<unknown>;
}
const require = createRequire(import.meta.url);
const { ServiceBroker } = require('moleculer') as { ServiceBroker: new (options: object) => Broker };

const [side, address] = process.argv.slice(2);
const [port = '0', otherPort = '0'] = (address ?? '').split(',');
const nodeID = side ?? '';
const broker = new ServiceBroker({
  nodeID,
  logger: false,
  transporter: {
    type: 'TCP',
    options: {
      udpDiscovery: false,
      port: Number(port),
      urls:
        side === 'callee'
          ? [`tcp://127.0.0.1:${otherPort}/caller`, `tcp://127.0.0.1:${port}/callee`]
          : [`tcp://127.0.0.1:${otherPort}/callee`, `tcp://127.0.0.1:${port}/caller`],
    },
  },
});
if (side === 'callee')
  broker.createService({ name: 'echo', actions: { echo: (ctx: { params: unknown }) => ctx.params } });
await broker.start();
tell({ type: 'ready', address: '' });
if (side === 'caller') {
  await broker.waitForServices('echo');
  tell({ type: 'ready', address: 'connected' });
  serveParent({ call: () => broker.call('echo.echo', payload) });
} else process.on('disconnect', () => process.exit(0));
