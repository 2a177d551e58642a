import { describe, expect, it } from 'vitest';
import { createClient, stepClient } from '../../../src/protocols/pbft/client.ts';
import type { ClientEffect, ClientInput, CommandOutcome } from '../../../src/protocols/pbft/client-contract.ts';
import type { Message, Request } from '../../../src/protocols/pbft/messages.ts';
import { encodeOutcome, type Outcome } from '../../../src/protocols/pbft/outcome.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { readLedgerResult } from '../../simulation/pbft/ledger.ts';
import { clientNode, Table } from './table.ts';

class Desk {
  readonly table = new Table({ n: 4, f: 1, spares: 1 });
  readonly client = createClient({
    self: clientNode,
    sign: this.table.keys.signer(clientNode),
    context: {
      ...(this.table.states[0]?.context as never as ReturnType<typeof createClient>['context']),
      groups: new Map(this.table.states[0]?.context.groups),
    },
    group: this.table.states[0]?.group as never,
    incarnation: 1,
    options: { retryMs: 100, deadlineMs: 1_000, readTimeoutMs: 50, maxOutstanding: 2 },
  });
  readonly settled = new Map<number, CommandOutcome>();
  now = 0;

  feed(input: ClientInput): string[] {
    const told: string[] = [];
    for (const effect of stepClient(this.client, input, { monotonicMs: this.now, wallMs: 0 })) {
      if (effect.type === 'settled') this.settled.set(effect.id, effect.outcome);
      if (effect.type === 'send')
        told.push(`${effect.message.type} → ${effect.to.map((id) => this.table.name(id)).join(' ')}`);
      if (effect.type === 'send') this.sent.push(effect);
    }
    return told;
  }

  readonly sent: (ClientEffect & { type: 'send' })[] = [];

  submit(id: number, text: string): string[] {
    return this.feed({ type: 'submit', id, command: Buffer.from(text) });
  }

  wait(ms: number): string[] {
    this.now += ms;
    return this.feed({ type: 'wake' });
  }

  hear(from: number, message: Message): string[] {
    const accepted = this.table.accept(0, nodeNumber(from), message);
    return typeof accepted === 'string' ? [`refused: ${accepted}`] : this.feed({ type: 'message', accepted });
  }

  reply(from: number, session: number, number: number, outcome: Outcome, view = 0): string[] {
    const rest = { epoch: 0, view, result: encodeOutcome(outcome) };
    return this.hear(from, { type: 'reply', client: clientNode, session, number, ...rest });
  }

  /** Exchanges everything with the replicas until nobody has anything to say. */
  exchange(deaf: readonly number[] = []): void {
    while (this.sent.length > 0 || this.table.letters.length > 0 || this.table.toClients.length > 0) {
      for (const { to, message } of this.sent.splice(0)) {
        for (const id of to)
          if (!deaf.includes(this.table.indexOf(id))) this.table.hand(this.table.indexOf(id), clientNode, message);
      }
      this.table.settle(({ from, to }) => deaf.includes(from) || deaf.includes(to));
      for (const { from, message } of this.table.toClients.splice(0))
        if (!deaf.includes(from)) this.hear(from, message);
    }
  }
}

const done = (value: number): Outcome => ({ kind: 'done', results: [{ ok: true, value: Uint8Array.of(value) }] });

describe('a client', () => {
  it('opens a session with its first command and bundles what comes meanwhile', () => {
    const desk = new Desk();
    expect(desk.submit(1, 'a')).toEqual(['request → r0']);
    expect(desk.submit(2, 'b')).toEqual([]);
    expect(desk.submit(3, 'c')).toEqual([]);
    desk.exchange();
    const results = [1, 2, 3].map((id) => desk.settled.get(id));
    const positions = results.map((outcome) => {
      return outcome?.kind === 'result' && outcome.result.ok ? readLedgerResult(outcome.result.value).position : 0;
    });
    expect(positions).toEqual([1, 2, 3]);
    // One request for the open, one for the bundle.
    expect(desk.table.executed().slice(0, 4)).toEqual([2, 2, 2, 2]);
  });

  it('believes f + 1 validators that agree, no fewer, and each once', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    for (const from of [0, 0, 3, 4]) desk.reply(from, 0, 1, { kind: 'opened', session: from === 3 ? 666 : 9 });
    expect(desk.client.session).toBeUndefined();
    desk.reply(1, 0, 1, { kind: 'opened', session: 9 });
    expect(desk.client.session).toBe(9);
    desk.reply(0, 9, 1, done(1));
    desk.reply(3, 9, 1, done(2));
    desk.reply(0, 9, 1, done(1));
    expect(desk.settled.size).toBe(0);
    desk.reply(2, 9, 1, done(1));
    expect(desk.settled.get(1)).toEqual({ kind: 'result', result: { ok: true, value: Uint8Array.of(1) } });
  });

  it('turns to everybody when the primary does not answer, ever more patiently', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    expect(desk.submit(2, 'b')).toEqual(['request → r0']);
    expect(desk.wait(99)).toEqual([]);
    expect(desk.wait(1)).toEqual(['request → r0 r1 r2 r3']);
    expect(desk.wait(199)).toEqual([]);
    // And asks whether others rule by now.
    expect(desk.wait(1)).toEqual(['request → r0 r1 r2 r3', 'status → r0 r1 r2 r3']);
  });

  it('says which validators were silent when a command’s deadline passes, and never reuses its number', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    desk.submit(2, 'b');
    desk.reply(2, 1, 2, done(1));
    desk.wait(1_000);
    expect(desk.settled.get(2)).toEqual({ kind: 'unknown', silent: [0, 1, 3].map(nodeNumber) });
    desk.sent.length = 0;
    desk.submit(3, 'c');
    const request = desk.sent[0]?.message as Request;
    expect([request.number, request.acknowledged]).toEqual([3, 2]);
  });

  it('has at most so many requests outstanding; the rest wait and travel together', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    for (let id = 2; id <= 9; id++) desk.submit(id, `x${id}`);
    expect(desk.client.outstanding.size).toBe(2);
    expect(desk.client.queue).toHaveLength(6);
    desk.exchange();
    expect(desk.settled.size).toBe(9);
  });

  it('stays within its session’s window while an old request is unanswered', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    const oldest = desk.client.nextNumber;
    for (let id = 2; id <= 20; id++) {
      desk.submit(id, `x${id}`);
      const newest = desk.client.nextNumber - 1;
      if (newest > oldest) for (const from of [1, 2]) desk.reply(from, 1, newest, done(id));
    }
    // Eight numbers from the oldest on, and no further, however many of them are settled.
    expect(desk.client.nextNumber).toBe(oldest + 8);
    expect([...desk.client.outstanding.keys()]).toEqual([oldest]);
  });

  it('opens again when the validators forgot it, and calls what was under way unknown', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    desk.submit(2, 'b');
    for (const from of [0, 1]) desk.reply(from, 1, 2, { kind: 'no-session' });
    expect(desk.settled.get(2)).toEqual({ kind: 'unknown', silent: [] });
    desk.sent.length = 0;
    expect(desk.submit(3, 'c')).toEqual(['request → r0']);
    expect(desk.sent[0]?.message).toMatchObject({ operation: { kind: 'open' } });
    desk.exchange();
    expect(desk.settled.get(3)?.kind).toBe('result');
  });

  it('reads by a quorum that agrees, and orders the read when none does', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.exchange();
    const read = (id: number): string[] =>
      desk.feed({ type: 'read', id, query: new Uint8Array(), ordered: Buffer.from('length') });
    expect(read(2)).toEqual(['read → r0 r1 r2 r3']);
    desk.exchange([3]);
    expect(desk.settled.get(2)).toEqual({ kind: 'result', result: { ok: true, value: Uint8Array.of(1) } });
    read(3);
    desk.sent.length = 0;
    for (const [from, value] of [
      [0, 7],
      [1, 7],
      [2, 8],
      [3, 9],
    ] as const) {
      desk.hear(from, { type: 'readReply', number: 2, epoch: 0, result: Uint8Array.of(value) });
    }
    expect(desk.settled.has(3)).toBe(false);
    expect(desk.wait(50)).toEqual(['request → r0']);
    desk.exchange();
    expect(desk.settled.get(3)).toEqual({ kind: 'result', result: { ok: true, value: Uint8Array.of(1) } });
  });

  it('follows the view of f + 1 validators, not of one', () => {
    const desk = new Desk();
    desk.submit(1, 'a');
    desk.reply(3, 0, 1, { kind: 'opened', session: 1 }, 7);
    desk.reply(0, 0, 1, { kind: 'opened', session: 1 }, 1);
    desk.reply(1, 0, 1, { kind: 'opened', session: 1 }, 1);
    expect(desk.submit(2, 'b')).toEqual(['request → r1']);
  });
});
