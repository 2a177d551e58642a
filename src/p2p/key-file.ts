/**
 * What a node keeps of itself between its runs: its private key and its start counter, the epoch.
 *
 * The epoch numbers a node's runs. Two runs with one epoch would look to everybody like a node that
 * contradicts itself, and get it quarantined; so a new epoch is on disk before it is used. It is also at
 * least the wall clock in milliseconds, so that a node that lost the file but kept its key still rises.
 */
import { createHash, createPrivateKey } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, realClock } from '../clock.ts';
import { QuorateError } from '../errors.ts';
import { createIdentity, type Identity } from '../identity.ts';
import { codeOf, createWhole, replaceWhole, unusable } from './whole-file.ts';

const keyName = 'node.key';
const epochName = 'node.epoch';
/** A key file has about 120 bytes. */
const maxKeyFileBytes = 4_096;
/** PKCS #8 header of an Ed25519 private key (RFC 8410); the 32 bytes of the seed follow. */
const pkcs8Header = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * The identity kept in `<dataDir>/node.key`, made at the first call. The file is PKCS #8 in PEM, mode 0600.
 * Throws `KEY_INVALID` when it is damaged or others can read it, `DATA_DIR_UNUSABLE` when the directory
 * cannot be used. Lock the directory first.
 */
export async function loadOrCreateIdentity(dataDir: string): Promise<Identity> {
  const file = join(dataDir, keyName);
  try {
    const kept = await readKey(file);
    if (kept !== undefined) return kept;
    const fresh = createIdentity();
    if (await createWhole(file, toPem(fresh.seed))) return fresh;
    // Somebody else made one meanwhile, and theirs is the one that is kept.
    return (await readKey(file)) ?? fresh;
  } catch (error) {
    throw unusable(dataDir, error);
  }
}

async function readKey(file: string): Promise<Identity | undefined> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (handle === undefined) return undefined;
  try {
    const { mode, size } = await handle.stat();
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      const text = `The key file ${file} can be read or written by other users (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}. If others may have read it, delete it instead: the node then gets a new key and id.`;
      throw new QuorateError('KEY_INVALID', text, { file, mode: mode & 0o777 });
    }
    if (size > maxKeyFileBytes) throw damaged(file);
    return createIdentity(fromPem(await handle.readFile('utf8'), file));
  } finally {
    await handle.close();
  }
}

function toPem(seed: Uint8Array): string {
  const body = Buffer.concat([pkcs8Header, seed]).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`;
}

function fromPem(text: string, file: string): Uint8Array {
  let der: Buffer;
  try {
    der = createPrivateKey(text).export({ format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw damaged(file, cause);
  }
  const isEd25519 = der.length === pkcs8Header.length + 32 && der.subarray(0, pkcs8Header.length).equals(pkcs8Header);
  if (!isEd25519) throw damaged(file);
  return new Uint8Array(der.subarray(pkcs8Header.length));
}

function damaged(file: string, cause?: unknown): QuorateError {
  const text = `The key file ${file} holds no Ed25519 private key in PEM: it is damaged, or another kind of file. Restore it from a backup; or delete it, and the node gets a new key and id.`;
  return new QuorateError('KEY_INVALID', text, { file }, { cause });
}

/**
 * The number of this run: higher than all before, on disk before it is returned, and never given twice,
 * whatever crashes in between. Throws `DATA_DIR_UNUSABLE` when the file is damaged or cannot be written.
 */
export async function nextEpoch(dataDir: string, clock: Pick<Clock, 'wallNow'> = realClock): Promise<number> {
  const file = join(dataDir, epochName);
  try {
    const epoch = Math.max((await readEpoch(file)) + 1, Math.floor(clock.wallNow()));
    await replaceWhole(file, `${epoch} ${checksum(epoch)}\n`);
    return epoch;
  } catch (error) {
    throw unusable(dataDir, error);
  }
}

/** The last epoch given, 0 when there was none. */
async function readEpoch(file: string): Promise<number> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw error;
  }
  const match = /^(\d{1,16}) ([0-9a-f]{16})\n$/.exec(text);
  const epoch = Number(match?.[1]);
  // Above half the safe range only a wrong clock or a tampered file can have brought it.
  if (match !== null && epoch <= Number.MAX_SAFE_INTEGER / 2 && match[2] === checksum(epoch)) return epoch;
  const message = `The epoch file ${file} is damaged. A wrong epoch would get this node quarantined, so it is not guessed. Restore the file from a backup; or delete it if this machine's clock has never been ahead; or delete ${keyName} too, and the node gets a new id.`;
  throw new QuorateError('DATA_DIR_UNUSABLE', message, { file });
}

function checksum(epoch: number): string {
  return createHash('sha256').update(`quorate epoch ${epoch}`).digest('hex').slice(0, 16);
}
