import { describe, expect, it } from 'vitest';
import { defaultParameters } from '../../../src/protocols/pbft/group.ts';
import type { Request } from '../../../src/protocols/pbft/messages.ts';
import {
  admit,
  createPending,
  heads,
  settle,
  startOver,
  takeRequests,
  waitingSince,
} from '../../../src/protocols/pbft/pending.ts';
import { createSessionTable, type SessionTable, standingOf } from '../../../src/protocols/pbft/sessions.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';

const limits = { ...defaultParameters, maxBatchRequests: 6, sessionWindow: 4 };
const room = { maxPending: 20, maxPendingBytes: 10_000 };

function tableWithSessions(...clients: number[]): SessionTable {
  const table = createSessionTable();
  clients.forEach((client, index) => {
    const session = { id: index + 1, incarnation: 5, acknowledged: 0, replies: new Map(), replyBytes: 0, used: 0 };
    table.sessions.set(nodeNumber(client), session);
  });
  return table;
}

function request(client: number, session: number, number: number): Request {
  const operation = session === 0 ? ({ kind: 'open' } as const) : ({ kind: 'commands', commands: [] } as const);
  const rest = { acknowledged: 0, operation, signature: new Uint8Array(), bytes: new Uint8Array(10) };
  return { type: 'request', client: nodeNumber(client), session, number, ...rest };
}

describe('pending requests', () => {
  const sessions = tableWithSessions(1, 2, 3);
  const put = (pending: ReturnType<typeof createPending>, one: Request, now = 0): boolean =>
    admit(pending, one, standingOf(sessions, one, limits), room, now);

  it('are taken from the clients in turn: a flooder waits behind itself', () => {
    const pending = createPending();
    for (const number of [1, 2, 3, 4]) put(pending, request(1, 1, number));
    put(pending, request(2, 2, 1));
    put(pending, request(3, 3, 1));
    const order = takeRequests(pending, limits).map(
      ({ client, number }) => `${[1, 2, 3].find((one) => nodeNumber(one) === client)}.${number}`,
    );
    expect(order).toEqual(['1.1', '2.1', '3.1', '1.2', '1.3', '1.4']);
    expect(takeRequests(pending, limits)).toEqual([]);
    startOver(pending, 0);
    expect(takeRequests(pending, limits)).toHaveLength(6);
  });

  it('give whoever missed the last batch the first place in the next', () => {
    const pending = createPending();
    for (const client of [1, 2, 3]) for (const number of [1, 2]) put(pending, request(client, client, number));
    const small = { ...limits, maxBatchRequests: 2 };
    const clients = (): string[] => takeRequests(pending, small).map(({ client }) => client);
    expect(clients()).toEqual([nodeNumber(1), nodeNumber(2)]);
    expect(clients()).toEqual([nodeNumber(3), nodeNumber(1)]);
  });

  it('hold no more of a client than its window, one open and one for an unknown session', () => {
    const pending = createPending();
    for (let number = 1; number <= 30; number++) {
      put(pending, request(1, 1, number));
      put(pending, request(1, 99, number));
      put(pending, request(1, 0, number));
    }
    expect(pending.count).toBe(4 + 1 + 1);
    expect(pending.bytes).toBe(60);
  });

  it('are bounded over all clients', () => {
    const pending = createPending();
    for (let client = 10; client < 60; client++) put(pending, request(client, 0, 1));
    expect(pending.count).toBe(room.maxPending);
  });

  it('age by their client’s head only, and never for a session that does not exist', () => {
    const pending = createPending();
    put(pending, request(1, 99, 1), 5);
    expect(waitingSince(pending)).toBeUndefined();
    put(pending, request(2, 2, 1), 10);
    put(pending, request(2, 2, 2), 11);
    expect(waitingSince(pending)).toBe(10);
    settle(pending, [request(2, 2, 1)], sessions, limits, 50);
    expect(waitingSince(pending)).toBe(50);
    settle(pending, [request(2, 2, 2)], sessions, limits, 60);
    expect(waitingSince(pending)).toBeUndefined();
  });

  it('pass on what no batch holds, and everything once the primary is suspected', () => {
    const pending = createPending();
    put(pending, request(1, 1, 1));
    put(pending, request(2, 2, 1));
    takeRequests(pending, { ...limits, maxBatchRequests: 1 });
    expect(heads(pending, 9).map(({ client }) => client)).toEqual([nodeNumber(2)]);
    expect(heads(pending, 9, true)).toHaveLength(2);
    expect(heads(pending, 1, true)).toHaveLength(1);
  });
});
