import { describe, expect, test } from 'vitest';
import {
  declareMachines,
  OrderedStateMachines,
} from '../../../../src/protocols/coordination/state-machines/machine-handle.ts';
import { StateMachinesReducer } from '../../../../src/protocols/coordination/state-machines/reducer.ts';
import { localNode, SharedOrder } from '../local-tools.ts';
import { accounts, store } from './machines.ts';

describe('alone in a process', () => {
  test('a machine runs as soon as it is declared', async () => {
    const { tools } = localNode([new StateMachinesReducer([accounts, store])]);
    await declareMachines(tools, [accounts, store]);
    const bank = new OrderedStateMachines(tools).stateMachine(accounts);
    expect(await bank.submit({ to: 'ada', amount: 5 })).toEqual({ balance: 5, by: tools.self });
    expect(await bank.query('ada')).toBe(5);
    await expect(bank.submit({ to: 'ada', amount: -9 })).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      data: { machine: 'accounts', name: 'Refused', message: 'ada has only 5' },
    });
    await expect(bank.submit({ to: 'ada', amount: 0.5 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      data: { name: 'accounts', path: 'amount' },
    });
    const kv = new OrderedStateMachines(tools).stateMachine(store);
    expect(await kv.submit({ key: 'a', value: '1' })).toBeUndefined();
    expect(await kv.submit({ key: 'a' })).toBe('1');
    await expect(kv.submit({ key: 'a', value: 'x'.repeat(40_000) })).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
    });
  });

  test('before that it says what is missing', async () => {
    const { tools, clock } = localNode([new StateMachinesReducer([accounts])]);
    const bank = new OrderedStateMachines(tools).stateMachine(accounts);
    const missing = { name: 'accounts', version: 1, active: undefined };
    await expect(bank.submit({ to: 'ada', amount: 5 })).rejects.toMatchObject({
      code: 'STATE_MACHINE_MISSING',
      data: { ...missing, waitingFor: [tools.self] },
    });
    await expect(bank.query('ada')).rejects.toMatchObject({ code: 'STATE_MACHINE_MISSING', data: missing });
    const late = bank.ready({ timeoutMs: 1_000 });
    const refused = expect(late).rejects.toMatchObject({ code: 'TIMED_OUT', data: { name: 'accounts', version: 1 } });
    await clock.advance(1_000);
    await refused;
    const ready = bank.ready();
    await declareMachines(tools, [accounts]);
    await ready;
    await bank.ready();
    expect(clock.timers).toBe(0);
  });
});

test('declaring outlasts a time without a quorum, and ends where it makes no sense', async () => {
  const shared = new SharedOrder([new StateMachinesReducer([accounts])]);
  const [validator, client] = [shared.node(), shared.node()];
  shared.fail(validator.self, 'before', 'after', 'before');
  const declared = declareMachines(validator, [accounts]);
  await shared.clock.advance(5_000);
  await declared;
  await new OrderedStateMachines(client).stateMachine(accounts).ready();
  await expect(declareMachines(client, [accounts])).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
  shared.fail(validator.self, 'before');
  const stop = new AbortController();
  const stopped = declareMachines(validator, [accounts], stop.signal);
  stop.abort(new Error('stopping'));
  await expect(stopped).rejects.toThrow('stopping');
});
