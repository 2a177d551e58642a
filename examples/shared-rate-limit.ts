// 1,000 requests per second, shared by five processes that all want more; equal shares, and what one does not need is lent. Live counts.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { createMesh } from 'quorate';

const seconds = 4;
const [eager, ...bootstrap] = process.argv.slice(2);
await using mesh = await createMesh({ mode: 'cluster', bootstrap });
const limiter = mesh.infrastructure.rateLimiter({
  id: 'model-requests',
  requestsPerSecond: 1_000,
  burst: 20,
  distribution: 'equal',
});

/** Asks `perSecond` times a second, and says every quarter of one how often it was allowed. */
async function ask(perSecond: number, until: number, say: (admitted: number) => void): Promise<void> {
  let [due, admitted, last, saidAt] = [0, 0, performance.now(), performance.now()];
  while (Date.now() < until) {
    await pause(2);
    const now = performance.now();
    due += ((now - last) / 1_000) * perSecond;
    last = now;
    for (; due >= 1; due--) if (limiter.tryAcquire().allowed) admitted += 1;
    if (now - saidAt < 250) continue;
    say(admitted);
    [saidAt, admitted] = [now, 0];
  }
  say(admitted);
}

if (eager !== undefined) {
  process.send?.('ready');
  const [until] = (await once(process, 'message')) as [number];
  await ask(Number(eager), until, (admitted) => void process.send?.(admitted));
  await once(process, 'disconnect');
} else {
  // The last asks for little; what it leaves is lent to the others.
  const demands = [600, 500, 400, 300, 30];
  const counts: number[][] = demands.map(() => []);
  const children = demands
    .slice(1)
    .map((demand) => fork(import.meta.filename, [String(demand), ...mesh.status().addresses]));
  await Promise.all(children.map((child) => once(child, 'message')));
  while (mesh.membership.members().filter(({ state }) => state === 'alive').length < demands.length) await pause(10);
  const until = Date.now() + seconds * 1_000;
  for (const [at, child] of children.entries()) {
    child.on('message', (admitted) => void counts[at + 1]?.push(admitted as number));
    child.send(until);
  }
  console.log(`asked for per second: ${demands.join(' ')}`);
  await ask(demands[0] as number, until, (admitted) => {
    counts[0]?.push(admitted);
    const latest = counts.map((list) => (list.at(-1) ?? 0) * 4);
    console.log(`allowed per second:   ${latest.map((count) => String(count).padStart(3)).join(' ')}`);
  });
  await pause(100);
  const total = counts.flat().reduce((sum, count) => sum + count, 0);
  console.log(`allowed in ${seconds} seconds, all together: ${total} (limit ${seconds * 1_000} and a burst of 20)`);
  assert.ok(total <= seconds * 1_000 * 1.05 + 20, 'never over the limit');
  assert.ok(total >= seconds * 1_000 * 0.7, 'the limit is used');
  for (const child of children) child.disconnect();
  await Promise.all(children.map((child) => once(child, 'exit')));
}
