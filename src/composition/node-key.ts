/** The key of a node made before its first start, so that others can be told its id: for allow-lists. */
import type { NodeId } from '../node-id.ts';
import { lockDataDir } from '../p2p/data-dir.ts';
import { loadOrCreateIdentity } from '../p2p/key-file.ts';

/**
 * The id of the node whose key is in `dataDir`; the directory and the key are made when they are missing. Throws
 * `DATA_DIR_LOCKED` while a node runs there, `DATA_DIR_UNUSABLE`, `KEY_INVALID`.
 */
export async function ensureNodeKey(dataDir: string): Promise<NodeId> {
  const lock = await lockDataDir(dataDir);
  try {
    return (await loadOrCreateIdentity(dataDir)).id;
  } finally {
    await lock.release();
  }
}
