import { expect, test } from 'vitest';
import { MachineQuotas } from '../../../../src/protocols/coordination/quotas/machine-quotas.ts';
import { QuotasReducer } from '../../../../src/protocols/coordination/quotas/reducer.ts';
import { SharedOrder } from '../local-tools.ts';

const request = { limit: 'l', rate: 100, capacity: 10, want: 8 };

test('two nodes take from one bucket', async () => {
  const order = new SharedOrder([new QuotasReducer()]);
  const [one, two] = [new MachineQuotas(order.node()), new MachineQuotas(order.node())];
  expect(await one.take(request)).toEqual({ granted: 8, retryAfterMs: 0 });
  const second = await two.take(request);
  expect(second.granted).toBe(2);
  expect(second.retryAfterMs).toBeGreaterThan(0);
  await order.clock.advance(1_000);
  expect(await two.take(request)).toEqual({ granted: 8, retryAfterMs: 0 });
});

test('a limit in use otherwise is a conflict, and a lost quorum is said', async () => {
  const order = new SharedOrder([new QuotasReducer()]);
  const tools = order.node();
  const quotas = new MachineQuotas(tools);
  await quotas.take(request);
  await expect(quotas.take({ ...request, rate: 5 })).rejects.toMatchObject({
    code: 'CONFLICT',
    data: { rate: 100, capacity: 10 },
  });
  order.fail(tools.self, 'before');
  await expect(quotas.take(request)).rejects.toMatchObject({ code: 'NO_QUORUM' });
});
