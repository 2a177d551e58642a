/** Strong claims in a hostile feed, and forged words in a zone of a barrier. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { encodeValue } from '../../src/codec.ts';
import { encodePayload } from '../../src/payload.ts';
import { zoneProtocol } from '../../src/protocols/coordination/barrier/network-zone-link.ts';
import { encodeZoneFrame, type ZoneFrame } from '../../src/protocols/coordination/barrier/zone-frames.ts';
import {
  decodeCertificate,
  encodeCertificate,
} from '../../src/protocols/coordination/certificates/certificate-codec.ts';
import { statementBytes } from '../../src/protocols/coordination/certificates/statement.ts';
import type { Value } from '../../src/value.ts';
import { pollUntil } from '../mesh/poll.ts';
import { registryEntry } from './claims.ts';
import { BesiegedMesh, type Besieger } from './coordination-attacker.ts';

let mesh: BesiegedMesh;
let hostile: Besieger;
beforeAll(async () => {
  mesh = await BesiegedMesh.start('siege-names');
});
beforeEach(async () => {
  hostile = await mesh.attacker();
  for (const { mesh: node } of mesh.honest.nodes) await pollUntil(() => node.membership.get(hostile.id) !== undefined);
});
afterEach(async () => {
  await mesh.works();
  await hostile.stop();
});
afterAll(() => mesh.stop());

describe('strong claims of a hostile member', () => {
  it('with proofs that are forged, foreign, copied, given back or signed by one liar: the owner stays the owner', async () => {
    const { registry } = mesh.member.mesh;
    const strongly = { consistency: 'strong', timeoutMs: 30_000 } as const;
    const metadata = { capabilities: [] };
    const past = await registry.register('payroll', () => 'old', metadata, strongly);
    const old = past.record.strong as { token: number; proof: Uint8Array };
    await past.unregister();
    const owner = await mesh.honest.node(0).mesh.registry.register('payroll', () => 'here', metadata, strongly);
    const { token, proof } = owner.record.strong as { token: number; proof: Uint8Array };
    const real = decodeCertificate(proof);
    const ask = (one: number): Uint8Array => encodePayload({ kind: 'names.grant', id: 'payroll', token: one }, 1_000);
    const statement = encodeValue({ id: 'payroll', node: hostile.id, token: token + 1, grantedAt: 1 });
    const query = ask(token + 1);
    const lie = mesh.liar.sign(statementBytes(mesh.definition.id, 0, query, statement));
    const signed = (validator: string): { validator: string; signature: Uint8Array } => ({ validator, signature: lie });
    const own = { ...real, query, statement };
    const rng = seededRng(61);
    const claims: Value[] = [
      { token, proof },
      { token: token + 1, proof },
      { token: old.token, proof: old.proof },
      { token: 2 ** 52, proof: rng.bytes(16_000) },
      { token: token + 1, proof: encodeCertificate({ ...own } as never) },
      { token: token + 1, proof: encodeCertificate({ ...own, signatures: [signed(mesh.liar.id)] } as never) },
      {
        token: token + 1,
        proof: encodeCertificate({
          ...own,
          signatures: [signed(mesh.liar.id), signed(mesh.honest.node(0).id)],
        } as never),
      },
      { token: token + 1, proof: encodeCertificate({ ...own, epoch: 1, succession: [rng.bytes(500)] } as never) },
      { token: -1, proof },
      { token: 'high', proof: 'none' },
    ];
    const before = mesh.counted(/^registry: malformed entry/);
    for (const strong of claims) {
      hostile.attacker.store.set('registry', 'payroll', { ...(registryEntry(1) as object), strong } as Value);
      hostile.attacker.publish(...hostile.attacker.store.flush());
    }
    // Every node has read them all.
    hostile.attacker.store.set('registry', 'last', registryEntry(1));
    hostile.attacker.publish(...hostile.attacker.store.flush());
    for (const { mesh: node } of mesh.honest.nodes) {
      await pollUntil(() => node.registry.lookup('last')?.node === hostile.id);
      expect(node.registry.lookup('payroll')?.node).toBe(owner.record.node);
    }
    expect(mesh.counted(/^registry: malformed entry/)).toBeGreaterThan(before);
    expect(owner.active).toBe(true);
    await owner.unregister();
  });

  it('forged words about a barrier: it opens when all have come, and not before', async () => {
    const agents = ['east', 'west'];
    for (const [index, agent] of agents.entries()) {
      await mesh.honest.node(index).mesh.registry.register(agent, () => 'yes', { capabilities: [] });
    }
    for (const { mesh: node } of mesh.honest.nodes) {
      await pollUntil(() => agents.every((agent) => node.registry.lookup(agent) !== undefined));
    }
    const options = { id: 'siege', participants: agents, strategy: 'hierarchical' } as const;
    const [east, west] = await Promise.all(
      agents.map((_, n) => mesh.honest.node(n).mesh.coordination.barrier(options)),
    );
    let passed = false;
    const waiting = east?.arrive({ as: 'east', timeoutMs: 60_000 }).then((passage) => {
      passed = true;
      return passage;
    });
    const at = { id: 'siege', epoch: 1, generation: 1 };
    const outcome = {
      generation: 1,
      opened: true,
      reason: '',
      token: 2 ** 40,
      missing: [],
      missingUnnamed: 0,
      arrived: 2,
    };
    const forged: unknown[] = [];
    for (let epoch = 1; epoch < 200; epoch++) {
      const place = { ...at, epoch };
      forged.push(
        { t: 'over', at: place, outcome, certificate: null },
        { t: 'over', at: place, outcome, certificate: new Uint8Array(500) },
        { t: 'taken', at: place, as: 'east', attempt: 1 },
        { t: 'refused', at: place, as: 'east', attempt: 1 },
        {
          t: 'arrive',
          at: place,
          as: 'west',
          attempt: 1,
          nonce: new Uint8Array(16),
          zone: 'default',
          signature: new Uint8Array(64),
          share: 2,
          patienceMs: 0,
        },
      );
    }
    for (const node of mesh.honest.nodes) {
      const stream = await hostile.stream(node, zoneProtocol);
      for (const frame of forged) stream.frame(encodeZoneFrame(frame as ZoneFrame));
      for (let n = 0; n < 5_000; n++) stream.frame(encodeZoneFrame(forged[0] as ZoneFrame));
    }
    await mesh.works();
    expect(passed).toBe(false);
    const [one, other] = await Promise.all([waiting, west?.arrive({ as: 'west', timeoutMs: 60_000 })]);
    expect(one?.token).toBe(other?.token);
    expect(one?.token).toBeLessThan(2 ** 40);
  });
});
