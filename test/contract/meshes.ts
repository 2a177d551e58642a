/** What the contract suites of coordination run on: one process, and a validator with clients on other nodes over real connections. */
import { describe, test } from 'vitest';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import type { CoordinationOptions } from '../../src/options.ts';
import { quiet } from '../mesh/mesh-nodes.ts';

const limitMs = 120_000;

/** As `test`, with time for many real nodes. */
export const declare = (name: string, body: () => Promise<void>): void => test(name, body, limitMs);

/** A validator that keeps nothing, and so many clients. */
export async function validatorWithClients(
  clients: number,
  coordination: CoordinationOptions = {},
): Promise<readonly [Mesh, ...Mesh[]]> {
  const common = { mode: 'cluster', name: 'contract', logger: quiet } as const;
  const alone = { validators: ['self'], durable: false, ...coordination } as const;
  const validator = await createMesh({ ...common, coordination: alone });
  const bootstrap = validator.status().addresses;
  const others = Array.from({ length: clients }, () => createMesh({ ...common, bootstrap }));
  return [validator, ...(await Promise.all(others))];
}

/** Clients first: what they give back, the validator takes. */
export async function stopAll(nodes: readonly Mesh[]): Promise<void> {
  const [validator, ...clients] = [...new Set(nodes)];
  await Promise.all(clients.map((mesh) => mesh.stop()));
  await validator?.stop();
}

/** Runs a suite for three parties in both: on one node, and on three. */
export function forThreeParties(suite: (create: () => Promise<readonly [Mesh, Mesh, Mesh]>) => void): void {
  describe('in one process', () => {
    suite(async () => {
      const mesh = await createMesh({ logger: quiet });
      return [mesh, mesh, mesh];
    });
  });
  describe('ordered by a validator, with clients on other nodes', () => {
    suite(async () => (await validatorWithClients(2)) as readonly [Mesh, Mesh, Mesh]);
  });
}
