import { expect, it } from 'vitest';
import { DrainWaiters } from '../../src/p2p/drain-waiters.ts';

it('settles all who wait, each once', async () => {
  const waiters = new DrainWaiters();
  const drained = [waiters.wait(undefined), waiters.wait(new AbortController().signal)];
  waiters.resolveAll();
  waiters.rejectAll(new Error('too late'));
  expect(await Promise.all(drained)).toEqual([undefined, undefined]);

  const closed = waiters.wait(undefined);
  waiters.rejectAll(new Error('closed'));
  await expect(closed).rejects.toThrow('closed');
});

it('lets one give up without the others, and leaves no listener on its signal', async () => {
  const waiters = new DrainWaiters();
  const controller = new AbortController();
  const reason = new Error('enough');
  const impatient = waiters.wait(controller.signal);
  const patient = waiters.wait(undefined);
  controller.abort(reason);
  await expect(impatient).rejects.toBe(reason);
  await expect(waiters.wait(controller.signal)).rejects.toBe(reason);
  waiters.resolveAll();
  await expect(patient).resolves.toBeUndefined();
});
