import { describe, expect, it } from 'vitest';
import { Admission, type AdmissionPort } from '../../src/p2p/admission.ts';
import type { Hello, HelloFrame, Rival } from '../../src/p2p/handshake.ts';

const hello: Hello = { wireMin: 1, wireMax: 1, mesh: 'm', version: '1', instance: new Uint8Array(16), epoch: 1 };
const rival: Rival = { instance: new Uint8Array(16).fill(1), admitted: true, preferred: 'this' };

function side(mine: Hello, overrides: Partial<AdmissionPort> = {}) {
  const log: string[] = [];
  const sent: HelloFrame[] = [];
  const admission = new Admission(mine, {
    send: (frame) => sent.push(frame),
    denial: () => undefined,
    rival: () => undefined,
    probeRival: async () => false,
    dropRival: () => log.push('rival dropped'),
    onAdmitted: () => log.push('admitted'),
    onRefused: (code, _detail, by) => log.push(`${code} by ${by}`),
    onBye: () => log.push('bye'),
    onPong: () => log.push('pong'),
    onViolation: (reason) => log.push(`violation: ${reason}`),
    ...overrides,
  });
  return { admission, log, sent };
}

type Side = ReturnType<typeof side>;

/** Delivers frames both ways until there are none, letting promises settle in between. */
async function converse(a: Side, b: Side): Promise<void> {
  a.admission.start();
  b.admission.start();
  for (let round = 0; round < 10; round++) {
    for (const frame of a.sent.splice(0)) b.admission.receive(frame);
    for (const frame of b.sent.splice(0)) a.admission.receive(frame);
    await Promise.resolve();
  }
}

describe('Admission', () => {
  it('admits both sides of a fitting pair, once', async () => {
    const [a, b] = [side(hello), side(hello)];
    await converse(a, b);
    expect([a.log, b.log]).toEqual([['admitted'], ['admitted']]);
  });

  it('tells both sides of a refusal', async () => {
    const [a, b] = [side(hello, { denial: () => 'banned' }), side(hello)];
    await converse(a, b);
    expect(a.log).toEqual(['NOT_ALLOWED by us']);
    expect(b.log).toEqual(['NOT_ALLOWED by them']);
    expect([a.admission.admitted, b.admission.admitted]).toEqual([false, false]);
  });

  it('refuses a newcomer whose rival answers, and lets it in when the rival is silent', async () => {
    const taken = [side(hello, { rival: () => rival, probeRival: async () => true }), side(hello)] as const;
    await converse(...taken);
    expect(taken[0].log).toEqual(['IDENTITY_IN_USE by us']);
    expect(taken[1].log).toEqual(['IDENTITY_IN_USE by them']);
    const free = [side(hello, { rival: () => rival }), side(hello)] as const;
    await converse(...free);
    expect(free[0].log).toEqual(['rival dropped', 'admitted']);
    expect(free[1].log).toEqual(['admitted']);
  });

  it('answers a ping only when admitted, and passes on bye and pong', async () => {
    const [a, b] = [side(hello), side(hello)];
    a.admission.receive({ type: 'ping' });
    expect(a.sent).toEqual([]);
    await converse(a, b);
    a.admission.receive({ type: 'ping' });
    expect(a.sent).toEqual([{ type: 'pong' }]);
    a.admission.receive({ type: 'pong' });
    a.admission.receive({ type: 'bye' });
    expect(a.log).toEqual(['admitted', 'pong', 'bye']);
  });

  it('is not admitted by an accept without a hello', () => {
    const a = side(hello);
    a.admission.receive({ type: 'accept' });
    expect(a.log).toEqual([]);
    a.admission.receive({ type: 'hello', hello });
    expect(a.log).toEqual(['admitted']);
  });

  it('reports garbage and a second hello', () => {
    const a = side(hello);
    a.admission.receive({ type: 'hello', hello });
    a.admission.receive({ type: 'hello', hello });
    a.admission.receive(undefined);
    expect(a.log).toEqual(['violation: a second hello', 'violation: garbage instead of a hello']);
  });

  it('says nothing more after a refusal', async () => {
    const a = side(hello, { denial: () => 'no' });
    a.admission.receive({ type: 'hello', hello });
    a.admission.receive({ type: 'accept' });
    a.admission.receive({ type: 'ping' });
    a.admission.receive(undefined);
    expect(a.log).toEqual(['NOT_ALLOWED by us']);
  });
});
