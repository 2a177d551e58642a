import { describe, expect, it } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import { createIdentity } from '../../../src/identity.ts';
import type { Channel } from '../../../src/p2p/network.ts';
import type { SimulatedNetwork, SimulatedNetworkOptions } from '../../../src/p2p/simulated/network.ts';
import { SimulatedWorld, type SimulatedWorldOptions } from '../../../src/p2p/simulated/world.ts';

const echo = '/test/echo/1';
const topic = 'topic';
const timeoutMs = 5_000;

/** A world of nodes in a line or a full mesh, with what each of them saw. */
async function worldOf(
  count: number,
  options: Partial<SimulatedWorldOptions> = {},
  each: SimulatedNetworkOptions = {},
) {
  const world = new SimulatedWorld({ seed: 1, ...options });
  const log: string[] = [];
  const nodes: SimulatedNetwork[] = [];
  const received = new Map<SimulatedNetwork, string[]>();
  const add = async (index: number): Promise<SimulatedNetwork> => {
    const node = world.network(createIdentity(seededRng(index + 1).bytes(32)), each);
    received.set(node, []);
    node.on('peer:disconnected', ({ peer, graceful }) => log.push(`${node.host} lost ${hostOf(peer)} ${graceful}`));
    node.handle(echo, { maxFrameBytes: 1_000, maxInboundPerPeer: 8 }, (channel) => {
      channel.listen({ onFrame: (frame) => void channel.send(frame), onClose: () => undefined });
    });
    node.subscribe(topic, 100, (data) => {
      received.get(node)?.push(Buffer.from(data).toString());
      return 'accept';
    });
    await node.start();
    nodes[index] = node;
    return node;
  };
  const hostOf = (peer: string) => nodes.find((node) => node.self === peer)?.host;
  for (let index = 0; index < count; index++) await add(index);
  for (let index = 1; index < count; index++) {
    await world.settled((nodes[index] as SimulatedNetwork).connect(addressOf(nodes[index - 1]), { timeoutMs }));
  }
  await world.run(50);
  return { world, nodes: nodes as [SimulatedNetwork, SimulatedNetwork, ...SimulatedNetwork[]], log, received, add };
}

const addressOf = (node: SimulatedNetwork | undefined): string => node?.addresses()[0] ?? '';

async function openEcho(world: SimulatedWorld, from: SimulatedNetwork, to: SimulatedNetwork) {
  const channel: Channel = await world.settled(from.open(to.self, echo));
  const replies: { at: number; text: string }[] = [];
  channel.listen({
    onFrame: (frame) => void replies.push({ at: world.now, text: Buffer.from(frame).toString() }),
    onClose: () => undefined,
  });
  return { channel, replies, say: (text: string) => channel.send(Buffer.from(text)) };
}

describe('SimulatedWorld', () => {
  it('runs a minute of timers at once, in order, and not a millisecond more', async () => {
    const { world, nodes } = await worldOf(2);
    const [node] = nodes;
    const fired: string[] = [];
    const start = world.now;
    node.clock.after(60_000, () => fired.push('minute'));
    node.clock.after(10, () => fired.push('ten'));
    const cancelled = node.clock.after(20, () => fired.push('never'));
    node.clock.after(60_001, () => fired.push('late'));
    cancelled.cancel();
    await world.run(60_000);
    expect(fired).toEqual(['ten', 'minute']);
    expect(world.now).toBe(start + 60_000);
  });

  it('is the same run for the same seed, and another for another', async () => {
    const story = async (seed: number): Promise<string> => {
      const { world, nodes, received } = await worldOf(5, {
        seed,
        broadcastLoss: 0.2,
        broadcastDuplication: 0.3,
        broadcastReordering: 0.5,
      });
      const seen: string[] = [];
      for (let n = 0; n < 20; n++) {
        await nodes[n % 5]?.publish(topic, Buffer.from(`message ${n}`));
        await world.run(7);
        seen.push(`${world.eventsRun} ${[...received.values()].map((each) => each.length)}`);
      }
      return seen.join(';');
    };
    const [first, second, other] = [await story(3), await story(3), await story(4)];
    expect(second).toBe(first);
    expect(other).not.toBe(first);
  });

  it('holds the inputs and timers of a paused node, and works them off when it resumes', async () => {
    const { world, nodes } = await worldOf(2);
    const [a, b] = nodes;
    const { replies, say } = await openEcho(world, a, b);
    const fired: number[] = [];
    world.pause(b);
    b.clock.after(10, () => fired.push(world.now));
    say('are you there?');
    await world.run(3_000);
    expect([replies, fired]).toEqual([[], []]);
    expect(a.isConnected(b.self)).toBe(true);
    const resumedAt = world.now;
    world.resume(b);
    await world.run(100);
    expect(replies.map((reply) => reply.text)).toEqual(['are you there?']);
    expect(fired[0]).toBeGreaterThanOrEqual(resumedAt);
  });

  it('kills: connections are reset, timers die, the address refuses until the node is started again', async () => {
    const { world, nodes, log, add } = await worldOf(2);
    const [a, b] = nodes;
    let fired = false;
    b.clock.after(10, () => {
      fired = true;
    });
    world.crash(b);
    await world.run(100);
    expect(log).toEqual(['node1 lost node2 false']);
    expect(fired).toBe(false);
    const refusal = world.settled(a.connect(addressOf(b), { timeoutMs }).catch((error: unknown) => error));
    expect(await refusal).toMatchObject({ code: 'PEER_UNREACHABLE' });
    const again = await add(1);
    expect(addressOf(again)).toBe(addressOf(b));
    await world.settled(a.connect(addressOf(again), { timeoutMs }));
    expect(a.isConnected(b.self)).toBe(true);
  });

  it('stalls channels in a partition, delivers after it in order, and breaks them when it lasts', async () => {
    const { world, nodes, log } = await worldOf(2, { partitionBreaksMs: 5_000 });
    const [a, b] = nodes;
    const { replies, say } = await openEcho(world, a, b);
    const heal = world.partition([a], [b]);
    for (const text of ['one', 'two', 'three']) say(text);
    await world.run(4_000);
    expect(replies).toEqual([]);
    heal();
    say('four');
    await world.run(1_000);
    expect(replies.map((reply) => reply.text)).toEqual(['one', 'two', 'three', 'four']);
    world.partition([a]);
    await world.run(4_999);
    expect(log).toEqual([]);
    const dial = a.connect(addressOf(b), { timeoutMs });
    await world.run(2);
    expect(log.sort()).toEqual(['node1 lost node2 false', 'node2 lost node1 false']);
    expect(await world.settled(dial)).toBe(b.self); // It was still connected when it was asked.
    const timedOut = world.settled(a.connect(addressOf(b), { timeoutMs }).catch((error: unknown) => error));
    const before = world.now;
    expect(await timedOut).toMatchObject({ code: 'PEER_UNREACHABLE' });
    expect(world.now - before).toBeGreaterThanOrEqual(timeoutMs);
    world.heal();
    await world.settled(a.connect(addressOf(b), { timeoutMs }));
  });

  it('blocks one direction only, when asked', async () => {
    const { world, nodes } = await worldOf(2);
    const [a, b] = nodes;
    const forward = await openEcho(world, a, b);
    world.partition([a], [b], { direction: 'rightToLeft' });
    let reached = 0;
    b.on('peer:disconnected', () => undefined);
    const before = b.counters.bytesReceived;
    forward.say('hello');
    await world.run(1_000);
    reached = b.counters.bytesReceived - before;
    expect([reached, forward.replies]).toEqual([5, []]);
    world.heal();
    await world.run(100);
    expect(forward.replies.map((reply) => reply.text)).toEqual(['hello']);
  });

  it('makes a slow node take its time over each event', async () => {
    const { world, nodes } = await worldOf(2);
    const [a, b] = nodes;
    const { replies, say } = await openEcho(world, a, b);
    world.slow(b, 100);
    const start = world.now;
    for (let n = 0; n < 5; n++) say(`${n}`);
    await world.run(2_000);
    expect(replies.map((reply) => reply.text)).toEqual(['0', '1', '2', '3', '4']);
    expect((replies.at(-1)?.at ?? 0) - start).toBeGreaterThanOrEqual(400);
    world.slow(b, 0);
    await world.run(2_000);
    const again = world.now;
    say('fast');
    await world.run(50);
    expect((replies.at(-1)?.at ?? 0) - again).toBeLessThan(50);
  });

  it('loses, repeats and reorders broadcasts as told, and delivers each once', async () => {
    const lossy = await worldOf(2, { broadcastLoss: 0.5 });
    const messy = await worldOf(2, { broadcastDuplication: 0.5, broadcastReordering: 0.5 });
    for (const { world, nodes } of [lossy, messy]) {
      for (let n = 0; n < 100; n++) await nodes[0].publish(topic, Buffer.from(String(n).padStart(3, '0')));
      await world.run(1_000);
    }
    const lost = lossy.received.get(lossy.nodes[1]) ?? [];
    expect(lost.length).toBeGreaterThan(20);
    expect(lost.length).toBeLessThan(80);
    const all = messy.received.get(messy.nodes[1]) ?? [];
    expect(all).toHaveLength(100);
    expect(new Set(all).size).toBe(100);
    expect(all).not.toEqual([...all].sort());
  });

  it('gives each node a clock of its own', async () => {
    const { world, nodes } = await worldOf(2, {}, { wallSkewMs: 5_000, clockDrift: 0.1 });
    const [a] = nodes;
    const [now, wall] = [a.clock.now(), a.clock.wallNow()];
    let firedAt = 0;
    const start = world.now;
    a.clock.after(1_100, () => {
      firedAt = world.now;
    });
    await world.run(2_000);
    expect(a.clock.now() - now).toBeCloseTo(2_200);
    expect(a.clock.wallNow() - wall).toBeCloseTo(2_200, -1);
    expect(firedAt - start).toBeCloseTo(1_000);
    expect(wall - world.clock.wallNow()).toBeGreaterThan(2_000);
  });

  it('says the seed when something does not come to pass', async () => {
    const { world } = await worldOf(2, { seed: 4711 });
    await expect(world.until(() => false, 10)).rejects.toThrow('Seed 4711');
  });

  it('refuses a second listener at one host', async () => {
    const { world, nodes } = await worldOf(2);
    const rival = world.network(createIdentity(), { host: nodes[0].host });
    await expect(rival.start()).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });
});
