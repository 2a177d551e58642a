/** Real nodes for tests of whole meshes: they end with the test, and their log is kept instead of printed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { type ErrorCode, QuorateError } from '../../src/errors.ts';
import { createMesh, type Mesh, type MeshEvents } from '../../src/mesh.ts';
import type { MeshOptions } from '../../src/options.ts';
import { pollUntil } from './poll.ts';

const started: Mesh[] = [];
const directories: string[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((mesh) => mesh.stop()));
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

const silent = (): void => undefined;
export const quiet = { debug: silent, info: silent, warn: silent, error: silent };

export async function node(options: MeshOptions = {}): Promise<Mesh> {
  const mesh = await createMesh({ mode: 'cluster', logger: quiet, ...options });
  started.push(mesh);
  return mesh;
}

/** A node that joins by the others. */
export function beside(others: readonly Mesh[], options: MeshOptions = {}): Promise<Mesh> {
  return node({ bootstrap: others.map(addressOf), ...options });
}

export function addressOf(mesh: Mesh): string {
  return mesh.status().addresses[0] as string;
}

/** The same address without the node id at its end. */
export function socketOf(mesh: Mesh): string {
  return addressOf(mesh).split('/p2p/')[0] as string;
}

export async function directory(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'quorate-mesh-'));
  directories.push(made);
  return made;
}

/** All events of a type from now on. */
export function eventsOf<K extends keyof MeshEvents>(mesh: Mesh, type: K): MeshEvents[K][] {
  const events: MeshEvents[K][] = [];
  mesh.on(type, (event) => void events.push(event));
  return events;
}

/** Every one of them takes every other for alive. */
export async function meet(...nodes: readonly Mesh[]): Promise<void> {
  for (const reader of nodes) {
    for (const other of nodes) await pollUntil(() => reader.membership.get(other.id)?.state === 'alive');
  }
}

export async function failure(promise: Promise<unknown>, code: ErrorCode): Promise<QuorateError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(QuorateError);
  expect((error as QuorateError).code).toBe(code);
  return error as QuorateError;
}
