/** What the feed tests share: stores with seeded identities, hostile authors, and comparison of views. */
import { createHash } from 'node:crypto';
import * as Y from 'yjs';
import { encodeValue } from '../../src/codec.ts';
import { type Draft, type EnvelopeKind, meshTag, sealEnvelope, storeNames } from '../../src/crdt/envelope.ts';
import { FeedStore, type FeedStoreOptions } from '../../src/crdt/feed-store.ts';
import type { StoreName } from '../../src/crdt/feeds.ts';
import type { FeedLimits } from '../../src/crdt/limits.ts';
import { createIdentity, type Identity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';

export const mesh = 'test';

export function identityOf(name: string): Identity {
  return createIdentity(new Uint8Array(createHash('sha256').update(name).digest()));
}

export interface StoreSetup {
  readonly epoch?: number;
  readonly limits?: Partial<FeedLimits>;
  readonly allowed?: FeedStoreOptions['allowed'];
}

export function storeOf(name: string, setup: StoreSetup = {}): FeedStore {
  return new FeedStore({
    mesh,
    identity: identityOf(name),
    epoch: setup.epoch ?? 1,
    ...(setup.limits === undefined ? {} : { limits: setup.limits }),
    ...(setup.allowed === undefined ? {} : { allowed: setup.allowed }),
    onListenerError: (error) => {
      throw error;
    },
  });
}

/** Everything shown, as text that two replicas can be compared by. */
export function viewOf(store: FeedStore): Record<string, Record<string, string>> {
  const view: Record<string, Record<string, string>> = {};
  for (const name of storeNames) {
    for (const author of [...store.authors(name)].sort()) {
      const entries: Record<string, string> = {};
      for (const [key, value] of [...store.entries(author, name)].sort(([a], [b]) => (a < b ? -1 : 1))) {
        entries[key] = Buffer.from(encodeValue(value)).toString('hex');
      }
      view[`${name}/${author}`] = entries;
    }
  }
  return view;
}

/** Anti-entropy between two stores, as replication does it, both ways. */
export function exchange(a: FeedStore, b: FeedStore): void {
  const all = new Set(Array.from({ length: 64 }, (_, bucket) => bucket));
  const toB = [...a.missing(b.summary(all), all)];
  const toA = [...b.missing(a.summary(all), all)];
  for (const bytes of toB) b.receive(bytes, 0, { paced: false });
  for (const bytes of toA) a.receive(bytes, 0, { paced: false });
}

/** An author that signs whatever it likes. */
export class HostileAuthor {
  readonly identity: Identity;

  constructor(name: string) {
    this.identity = identityOf(name);
  }

  get id(): NodeId {
    return this.identity.id;
  }

  seal(draft: Partial<Draft> & { readonly payload: Uint8Array; readonly seq: number }) {
    const kind: EnvelopeKind = draft.kind ?? (draft.seq === 1 ? 'snapshot' : 'delta');
    return sealEnvelope(
      {
        mesh: draft.mesh ?? meshTag(mesh),
        kind,
        store: draft.store ?? ('registry' satisfies StoreName),
        epoch: draft.epoch ?? 1,
        seq: draft.seq,
        previous: draft.previous ?? new Uint8Array(32),
        payload: draft.payload,
      },
      this.identity,
    );
  }
}

/** A payload with those entries, from a fresh document. */
export function snapshotPayload(entries: Record<string, unknown>): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = 1;
  const root = doc.getMap<Uint8Array>('e');
  doc.transact(() => {
    for (const [key, value] of Object.entries(entries)) root.set(key, encodeValue(value));
  });
  return Y.encodeStateAsUpdate(doc);
}
