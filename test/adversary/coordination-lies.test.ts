/** What is said of the group by those who have no say in it, and by the one validator in four that may lie. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeValue } from '../../src/codec.ts';
import { createIdentity } from '../../src/identity.ts';
import { encodePayload } from '../../src/payload.ts';
import { statementBytes } from '../../src/protocols/coordination/certificates/statement.ts';
import { verifyCertificate } from '../../src/protocols/coordination/certificates/verify.ts';
import { defineGroup, encodeDefinition } from '../../src/protocols/coordination/group/definition.ts';
import type { GroupFrame } from '../../src/protocols/coordination/group/frames.ts';
import { idOf } from '../../src/protocols/coordination/group/learning.ts';
import { encodeMessage } from '../../src/protocols/pbft/encoding.ts';
import {
  type CheckpointProof,
  checkpointBytes,
  type Message,
  proposalBytes,
} from '../../src/protocols/pbft/messages.ts';
import { encodeOutcome } from '../../src/protocols/pbft/outcome.ts';
import { pollUntil } from '../mesh/poll.ts';
import { BesiegedMesh, type Besieger } from './coordination-attacker.ts';

let mesh: BesiegedMesh;
/** The fourth validator. */
let liar: Besieger;
let stranger: Besieger;
beforeAll(async () => {
  mesh = await BesiegedMesh.start('siege-lies');
});
beforeEach(async () => {
  liar = await mesh.attacker(mesh.liar);
  stranger = await mesh.attacker();
});
afterEach(async () => {
  await mesh.works();
  await liar.stop();
  await stranger.stop();
});
afterAll(() => mesh.stop());

const zero = '0'.repeat(64);
const payload = (value: unknown): Uint8Array => encodePayload(value, 1_000);

describe('lies about the group', () => {
  it('events, gaps and answers of a stranger and of one lying validator: no waiter is told anything false', async () => {
    const held = await mesh.honest.node(0).mesh.coordination.lock('guarded');
    let got = false;
    const waiting = mesh.member.mesh.coordination.lock('guarded', { timeoutMs: 60_000 }).then((lock) => {
      got = true;
      return lock;
    });
    const topic = 'grant/guarded';
    for (const { attacker, tell } of [liar, stranger].map((one) => ({
      attacker: one,
      tell: (...frames: GroupFrame[]) => one.tell(mesh.member, ...frames),
    }))) {
      await tell({ type: 'subscribed', topic }, { type: 'gap' });
      for (let n = 0; n < 2_000; n++) {
        const granted = { type: 'granted', node: mesh.member.id, id: 'a'.repeat(32), token: 2 ** 40 };
        await tell({ type: 'event', topic, revision: 2 ** 40 + n, payload: payload(granted) });
      }
      for (let id = 1; id < 200; id++) {
        await tell({ type: 'healthy', id, epoch: 0, view: 9, active: true, executed: 2 ** 40, stable: 0, logBytes: 0 });
      }
      const result = encodeOutcome({
        kind: 'done',
        results: [{ ok: true, value: payload([{ state: 'granted', token: 99 }]) }],
      });
      for (let number = 1; number < 50; number++) {
        for (let session = 1; session < 30; session++) {
          await attacker.say(mesh.member, {
            type: 'reply',
            client: mesh.member.id,
            session,
            number,
            epoch: 0,
            view: 0,
            result,
          });
        }
        await attacker.say(mesh.member, { type: 'readReply', number, epoch: 0, result: payload([7]) });
      }
    }
    await mesh.works();
    expect(got).toBe(false);
    await held.release();
    const lock = await waiting;
    expect(lock.held).toBe(true);
    await lock.release();
  });

  it('votes of a stranger count for nothing, and those of the liar do not decide', async () => {
    const { id } = mesh.definition;
    const epoch = 0;
    for (const [who, node] of mesh.validators.flatMap((one) => [[stranger, one] as const, [liar, one] as const])) {
      const replica = who.id;
      for (let seq = 1; seq < 200; seq += 9) {
        const vote = (type: 'prePrepare' | 'prepare'): Uint8Array =>
          who.attacker.identity.sign(proposalBytes(id, type, epoch, 0, seq, zero));
        const messages: Message[] = [
          { type: 'prepare', epoch, view: 0, seq, digest: zero, replica, signature: vote('prepare') },
          { type: 'commit', epoch, view: 0, seq, digest: zero, replica },
          { type: 'committed', epoch, seq, digest: zero },
          {
            type: 'status',
            epoch,
            view: 50,
            active: true,
            suspects: true,
            stable: 0,
            executed: 0,
            viewChanges: [],
            slots: [],
          },
        ];
        const signature = who.attacker.identity.sign(checkpointBytes(id, epoch, 128, zero));
        messages.push({ type: 'checkpoint', epoch, seq: 128, digest: zero, replica, signature });
        messages.push({ type: 'statePart', seq: 128, part: 0, bytes: new Uint8Array(32) });
        await who.say(node, ...messages);
      }
    }
    await pollUntil(() => mesh.counted(/^agreement: not-a-member/) > 20);
    await mesh.checkpoint();
  });

  it('a certificate is made in spite of one validator that answers falsely, many times, and first', async () => {
    const { coordination, registry } = mesh.member.mesh;
    await registry.register('voter', () => 'yes', { capabilities: [] });
    for (const { mesh: node } of mesh.validators) await pollUntil(() => node.registry.lookup('voter') !== undefined);
    coordination.voter('voter', () => true);
    const decision = await coordination.propose({
      participants: ['voter'],
      proposal: { ship: true },
      rule: 'majority',
    });
    expect(decision.accepted).toBe(true);
    let stop = false;
    const answered = new Set<number>();
    const lying = (async () => {
      while (!stop) {
        for (const frame of liar.frames()) {
          if (frame.type !== 'certify' || answered.has(frame.id)) continue;
          answered.add(frame.id);
          const statement = encodeValue({ accepted: false });
          const signature = mesh.liar.sign(statementBytes(mesh.definition.id, 0, frame.query, statement));
          const succession = [new Uint8Array(500), new Uint8Array(500)];
          const lie: GroupFrame = { type: 'certified', id: frame.id, epoch: 0, statement, signature, succession };
          await liar.tell(mesh.member, ...Array.from({ length: 200 }, () => lie));
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const strangers: GroupFrame[] = Array.from({ length: 100 }, (_, at) => {
      return {
        type: 'certified',
        id: at + 1,
        epoch: 0,
        statement: encodeValue(1),
        signature: new Uint8Array(64),
        succession: [],
      };
    });
    await stranger.tell(mesh.member, ...strangers);
    for (let n = 0; n < 5; n++) {
      const certificate = await decision.certificate();
      const { name, founders } = mesh.definition;
      const { signers } = verifyCertificate(certificate, { name, validators: founders.validators, f: 1 });
      expect(signers).not.toContain(mesh.liar.id);
    }
    stop = true;
    await lying;
  });

  it('a false way to other validators: nobody follows, and whoever tells it is banned', async () => {
    const others = Array.from({ length: 4 }, () => createIdentity().id).sort();
    const head = { seq: 128, root: zero, bytes: 1, group: { epoch: 1, since: 128, f: 1, validators: others } };
    const digest = zero;
    const votes = [mesh.liar.id, ...mesh.validators.map((node) => node.id)].map((replica) => ({
      replica,
      signature: mesh.liar.sign(checkpointBytes(mesh.definition.id, 0, 128, digest)),
    }));
    const proof: CheckpointProof = { epoch: 0, head, votes };
    const long = Array.from({ length: 1_000 }, () => proof);
    for (const epochs of [[], [proof], long]) {
      const catchUp = encodeMessage({ type: 'catchUp', epochs, checkpoint: proof });
      for (const node of mesh.honest.nodes) {
        const stream = await stranger.stream(node, '/quorate/pbft/1').catch(() => undefined);
        for (let n = 0; n < 10; n++) stream?.frame(catchUp);
        await stranger
          .tell(node, {
            type: 'group',
            definition: encodeDefinition(mesh.definition),
            catchUp: catchUp.subarray(0, 500_000),
          })
          .catch(() => undefined);
      }
    }
    for (const [index] of mesh.honest.nodes.entries()) {
      await pollUntil(() => mesh.honest.refusals(index, stranger.id, /^banned/) > 0);
      expect(mesh.honest.node(index).mesh.status().coordination.epoch).toBe(0);
    }
  });

  it('one who was told of another group: the pinned node keeps to its own, and nobody who was misled is banned', async () => {
    const { name, founders } = mesh.definition;
    // As the right one but for one founder: an honest validator is among them, and will hear requests that it cannot read.
    const wrong = defineGroup(name, [...founders.validators.slice(0, 2), createIdentity().id, stranger.id], 1);
    const introduce = async (to: (typeof mesh.honest.nodes)[number]): Promise<void> => {
      const definition = encodeDefinition(wrong);
      for (const one of [liar, stranger]) await one.tell(to, { type: 'group', definition });
    };
    const pinned = await mesh.honest.add({ coordination: { group: idOf(mesh.definition) } });
    await stranger.attacker.join(mesh.honest.addresses.at(-1) as string);
    await liar.attacker.join(mesh.honest.addresses.at(-1) as string);
    await introduce(pinned);
    await pinned.mesh.coordination.counter('pinned').add(1);
    expect(pinned.mesh.status().coordination.group).toBe(idOf(mesh.definition));

    // Requests for the other group, as a misled node would make them, from a member that does nothing else.
    for (const node of mesh.validators) {
      for (let n = 1; n < 60; n++) {
        const request = stranger.request({ kind: 'open' }, { number: n });
        const signature = stranger.attacker.identity.sign(payload('for another group'));
        const bytes = request.bytes.slice();
        bytes.set(signature, bytes.length - 64);
        await stranger.say(node, { ...request, signature, bytes });
      }
    }
    await pollUntil(() => mesh.counted(/^agreement: foreign-request/) > 3 * 20);
    for (const [index] of mesh.honest.nodes.entries())
      expect(mesh.honest.refusals(index, stranger.id, /^banned/)).toBe(0);
  });
});
