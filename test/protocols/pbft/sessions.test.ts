import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultParameters } from '../../../src/protocols/pbft/group.ts';
import type { Operation, Request } from '../../../src/protocols/pbft/messages.ts';
import { decodeOutcome, encodeOutcome, type Outcome } from '../../../src/protocols/pbft/outcome.ts';
import {
  createSessionTable,
  executeOnce,
  readSessions,
  type SessionTable,
  writeSessions,
} from '../../../src/protocols/pbft/sessions.ts';
import { Reader, Writer } from '../../../src/protocols/pbft/wire.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';

const limits = { ...defaultParameters, maxSessions: 3, sessionWindow: 4, maxSessionBytes: 40 };
const none = new Uint8Array();

function request(client: number, session: number, number: number, acknowledged = 0): Request {
  const operation: Operation = session === 0 ? { kind: 'open' } : { kind: 'commands', commands: [] };
  return {
    type: 'request',
    client: nodeNumber(client),
    session,
    number,
    acknowledged,
    operation,
    signature: none,
    bytes: none,
  };
}

class Clerk {
  readonly table: SessionTable = createSessionTable();
  readonly ran: string[] = [];

  run(client: number, session: number, number: number, acknowledged = 0, size = 1): Outcome | undefined {
    const result = executeOnce(this.table, request(client, session, number, acknowledged), limits, () => {
      this.ran.push(`${client}/${session}/${number}`);
      return { kind: 'done', results: [{ ok: true, value: new Uint8Array(size) }] };
    });
    return decodeOutcome(result);
  }

  open(client: number, incarnation: number): number {
    const outcome = this.run(client, 0, incarnation);
    return outcome?.kind === 'opened' ? outcome.session : 0;
  }
}

describe('sessions', () => {
  it('run a request once and give its reply again', () => {
    const clerk = new Clerk();
    const session = clerk.open(1, 7);
    const first = clerk.run(1, session, 1);
    expect(clerk.run(1, session, 1)).toEqual(first);
    expect(clerk.ran).toEqual([`1/${session}/1`]);
  });

  it('run requests out of order within the window, none beyond it', () => {
    const clerk = new Clerk();
    const session = clerk.open(1, 7);
    expect([3, 1, 4, 2].map((number) => clerk.run(1, session, number)?.kind)).toEqual(Array(4).fill('done'));
    expect(clerk.run(1, session, 5)?.kind).toBe('beyond-window');
    expect(clerk.run(1, session, 5, 1)?.kind).toBe('done');
    expect(clerk.run(1, session, 1)?.kind).toBe('acknowledged');
    expect(clerk.ran).toHaveLength(5);
  });

  it('give a repeated open the same session, a later one a new session, an earlier one nothing', () => {
    const clerk = new Clerk();
    const session = clerk.open(1, 7);
    expect(clerk.open(1, 7)).toBe(session);
    expect(clerk.run(1, 0, 6)?.kind).toBe('no-session');
    expect(clerk.open(1, 8)).not.toBe(session);
    expect(clerk.run(1, session, 1)?.kind).toBe('no-session');
  });

  it('forget the client unused for longest, and never run what was signed for a forgotten session', () => {
    const clerk = new Clerk();
    const [a, b] = [clerk.open(1, 1), clerk.open(2, 1)];
    clerk.open(3, 1);
    clerk.run(1, a, 1);
    clerk.open(4, 1); // Client 2 goes.
    expect(clerk.table.sessions.size).toBe(3);
    expect(clerk.run(2, b, 1)?.kind).toBe('no-session');
    const again = clerk.open(2, 1);
    expect(again).not.toBe(b);
    expect(clerk.run(2, b, 1)?.kind).toBe('no-session');
    expect(clerk.ran).toEqual([`1/${a}/1`]);
  });

  it('drop the oldest replies of a client that has too much cached, and still run nothing twice', () => {
    const clerk = new Clerk();
    const session = clerk.open(1, 1);
    clerk.run(1, session, 1, 0, 30);
    clerk.run(1, session, 2, 0, 30);
    expect(clerk.run(1, session, 1)?.kind).toBe('forgotten');
    expect(clerk.run(1, session, 2)?.kind).toBe('done');
    expect(clerk.ran).toHaveLength(2);
  });

  const action = fc.record({
    client: fc.integer({ min: 1, max: 5 }),
    session: fc.integer({ min: 0, max: 8 }),
    number: fc.integer({ min: 1, max: 10 }),
    acknowledged: fc.integer({ min: 0, max: 9 }),
    size: fc.integer({ min: 0, max: 30 }),
  });

  it('run nothing twice whatever comes, stay in their bounds, and survive a snapshot unchanged', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const clerk = new Clerk();
        for (const { client, session, number, acknowledged, size } of actions) {
          clerk.run(client, session, number, Math.min(acknowledged, number - 1), size);
        }
        expect(new Set(clerk.ran).size).toBe(clerk.ran.length);
        expect(clerk.table.sessions.size).toBeLessThanOrEqual(limits.maxSessions);
        for (const session of clerk.table.sessions.values()) {
          expect(session.replies.size).toBeLessThanOrEqual(limits.sessionWindow);
          const bytes = [...session.replies.values()].reduce((sum, { length }) => sum + length, 0);
          expect(session.replyBytes).toBe(bytes);
        }
        const w = new Writer();
        writeSessions(w, clerk.table);
        const reader = new Reader(w.finish());
        const back = readSessions(reader, limits);
        expect(reader.complete).toBe(true);
        const again = new Writer();
        writeSessions(again, back);
        expect(again.finish()).toEqual(w.finish());
      }),
    );
  });
});

describe('outcomes', () => {
  it('come back as they were, and nothing else is read as one', () => {
    const outcomes: Outcome[] = [
      {
        kind: 'done',
        results: [
          { ok: true, value: Uint8Array.of(1, 2) },
          { ok: false, reason: 'too-large' },
        ],
      },
      { kind: 'opened', session: 5 },
      { kind: 'voted', effective: 128 },
      { kind: 'no-session' },
      { kind: 'refused' },
    ];
    for (const outcome of outcomes) expect(decodeOutcome(encodeOutcome(outcome))).toEqual(outcome);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const outcome = decodeOutcome(bytes);
        if (outcome !== undefined) expect(Buffer.from(encodeOutcome(outcome))).toEqual(Buffer.from(bytes));
      }),
    );
  });
});
