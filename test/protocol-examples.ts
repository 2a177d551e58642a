/**
 * The worked examples of PROTOCOL.md, made by the code they describe. Each is the text of one fenced block,
 * by the name that follows `hex` in the fence.
 */
import { encodeValue } from '../src/codec.ts';
import { meshTag } from '../src/crdt/envelope.ts';
import { FeedStore } from '../src/crdt/feed-store.ts';
import { createIdentity, type Identity } from '../src/identity.ts';
import { encodeControlFrame, targetKey } from '../src/p2p/detector/frames.ts';
import { Rings } from '../src/p2p/detector/rings.ts';
import { encodeHelloFrame } from '../src/p2p/handshake.ts';
import { writeHeader } from '../src/p2p/libp2p/frames.ts';
import { PayloadWriter } from '../src/payload-writer.ts';
import {
  encodeCredit,
  encodeError,
  encodeItem,
  encodeMoved,
  encodeOpen,
  encodeReply,
  encodeRequest,
} from '../src/protocols/messaging/frames.ts';
import { rejected } from '../src/protocols/messaging/outcome.ts';
import { encodeSync } from '../src/protocols/replication/sync-wire.ts';
import type { Value } from '../src/value.ts';

type Part = readonly [bytes: number, meaning: string];

const limit = 65_536;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The bytes in the parts given, 16 to a line, with what each part means. Throws unless the parts are all of it. */
function layout(bytes: Uint8Array, parts: readonly Part[]): string {
  const lines: string[] = [];
  let at = 0;
  for (const [length, meaning] of parts) {
    const part = hex(bytes.subarray(at, at + length));
    const rows = part.match(/.{1,32}/g) ?? [''];
    for (const [row, text] of rows.entries()) lines.push(`${text.padEnd(33)} ${row === 0 ? meaning : ''}`.trimEnd());
    at += length;
  }
  if (at !== bytes.length) throw new Error(`The parts have ${at} bytes, the example ${bytes.length}: ${hex(bytes)}`);
  return lines.join('\n');
}

function seeded(from: number): Identity {
  return createIdentity(Uint8Array.from({ length: 32 }, (_, index) => from + index));
}

/** Author of the examples, and another node. */
const author = seeded(0);
const other = seeded(32);

function feedOfAuthor(): FeedStore {
  return new FeedStore({
    mesh: 'default',
    identity: author,
    epoch: 7,
    onListenerError: (error) => {
      throw error;
    },
  });
}

const agent = { claimedAt: 2048, zone: 'default', capabilities: ['echo'] };

function envelopes(): { readonly snapshot: Uint8Array; readonly delta: Uint8Array; readonly head: Uint8Array } {
  const store = feedOfAuthor();
  store.set('registry', 'echo', agent);
  const [snapshot] = store.flush();
  store.set('registry', 'echo', { ...agent, health: 'degraded' });
  const head = store.head(store.self, 'registry')?.hash;
  const [delta] = store.flush();
  if (snapshot === undefined || delta === undefined || head === undefined) throw new Error('no envelope');
  return { snapshot, delta, head };
}

function snapshotExample(): string {
  const { snapshot } = envelopes();
  const value = encodeValue(agent);
  return layout(snapshot, [
    [1, 'version 1'],
    [1, 'kind 1: snapshot'],
    [1, 'store 2: registry'],
    [16, 'mesh tag of "default"'],
    [32, 'author: raw public key'],
    [8, 'epoch 7'],
    [8, 'seq 1'],
    [32, 'previous: none'],
    [64, 'signature'],
    [1, 'Yjs update: structs of 1 client'],
    [1, '1 struct'],
    [1, 'client 1'],
    [1, 'first clock 0'],
    [1, 'info: new key (0x20), binary content (0x03)'],
    [1, 'parent is a root type'],
    [2, 'root name "e"'],
    [5, 'key "echo"'],
    [1, `length of the value, ${value.length}`],
    [value.length, 'the value in CBOR: claimedAt 2048, zone, capabilities'],
    [1, 'deletions of 0 clients'],
  ]);
}

function deltaExample(): string {
  const { delta } = envelopes();
  const value = encodeValue({ ...agent, health: 'degraded' });
  return layout(delta.subarray(163), [
    [1, 'structs of 1 client'],
    [1, '1 struct'],
    [1, 'client 1'],
    [1, 'first clock 1'],
    [1, 'info: left origin (0x80), key (0x20, not written), binary (0x03)'],
    [2, 'origin: client 1, clock 0'],
    [1, `length of the value, ${value.length}`],
    [value.length, 'the value'],
    [1, 'deletions of 1 client'],
    [1, 'client 1'],
    [1, '1 range'],
    [2, 'from clock 0, 1 clock'],
  ]);
}

function headsExample(): string {
  const { head } = envelopes();
  const bucket = (author.publicKey[0] as number) % 64;
  const heads = [
    { store: 'members' as const, epoch: 7, seq: 0, hash: new Uint8Array(0) },
    { store: 'registry' as const, epoch: 7, seq: 1, hash: head.subarray(0, 8) },
  ];
  const authors = [{ key: author.publicKey, quarantined: false, heads }];
  return layout(encodeSync({ type: 'heads', buckets: new Set([bucket]), authors }), [
    [1, 'heads'],
    [8, `mask: bucket ${bucket}`],
    [32, 'author'],
    [1, 'flags: not quarantined, 2 heads'],
    [1, 'members, not kept'],
    [8, 'epoch 7'],
    [8, 'seq 0'],
    [1, 'registry'],
    [8, 'epoch 7'],
    [8, 'seq 1'],
    [8, 'content hash, first 8 bytes'],
  ]);
}

function helloExample(): string {
  const instance = Uint8Array.from({ length: 16 }, (_, index) => index);
  const hello = { wireMin: 1, wireMax: 1, mesh: 'default', version: '0.1.0', instance, epoch: 7 };
  const frame = encodeHelloFrame({ type: 'hello', hello });
  const framed = new Uint8Array(1 + frame.length);
  writeHeader(framed, 0, frame.length);
  framed.set(frame, 1);
  return layout(framed, [
    [1, `length of the frame, ${frame.length}`],
    [2, 'list of 2; frame 1, hello'],
    [1, 'map of 6'],
    [13, '"mesh": "default"'],
    [7, '"epoch": 7'],
    [14, '"version": "0.1.0"'],
    [9, '"wireMax": 1'],
    [9, '"wireMin": 1'],
    [26, '"instance": 16 bytes'],
  ]);
}

function refuseExample(): string {
  return layout(encodeHelloFrame({ type: 'refuse', code: 'WRONG_MESH', detail: 'not mine' }), [
    [2, 'list of 3; frame 3, refuse'],
    [1, 'code 1: WRONG_MESH'],
    [9, '"not mine"'],
  ]);
}

function controlExample(): string {
  const digest = Uint8Array.from({ length: 8 }, (_, index) => 0xa0 + index);
  return [
    layout(encodeControlFrame({ type: 'probe', seq: 9, lagMs: 3 }), [
      [1, 'probe'],
      [4, 'seq 9'],
      [2, 'lag 3 ms'],
    ]),
    layout(encodeControlFrame({ type: 'ack', seq: 9, lagMs: 0, digest }), [
      [1, 'ack'],
      [4, 'seq 9, of the probe'],
      [2, 'lag 0 ms'],
      [8, 'digest'],
    ]),
    layout(encodeControlFrame({ type: 'ping-req', seq: 10, target: targetKey(author.id) }), [
      [1, 'ping-req'],
      [4, 'seq 10'],
      [8, 'target: first 8 bytes of SHA-256 of the author’s id'],
    ]),
    layout(encodeControlFrame({ type: 'ping-reply', seq: 10, ok: true }), [
      [1, 'ping-reply'],
      [4, 'seq 10, of the ping-req'],
      [1, 'it answered'],
    ]),
  ].join('\n');
}

function callExample(): string {
  const header = { method: 'count', idempotencyKey: undefined, callerAgent: 'planner', trace: undefined };
  const request = encodeRequest(1, 0x0001_0000, 'counter', header, 5_000, { text: 'to be' }, limit);
  return layout(request, [
    [1, 'request'],
    [4, 'id'],
    [4, 'remaining 5,000 ms'],
    [1, 'flags: method 1, from 4'],
    [9, 'agent "counter"'],
    [7, 'method "count"'],
    [9, 'from "planner"'],
    [12, 'value {"text": "to be"}'],
  ]);
}

function answersExample(): string {
  const refused = rejected('counter', 'draining', {});
  const error = encodeError(0x0001_0000, undefined, refused);
  return [
    layout(encodeReply(0x0001_0000, { epoch: 7, seq: 2 }, 2, limit), [
      [1, 'reply'],
      [4, 'id of the request'],
      [1, 'flags: head'],
      [8, 'epoch 7 of the registry feed'],
      [8, 'seq 2'],
      [1, 'value 2'],
    ]),
    layout(error.subarray(0, 7), [
      [1, 'error'],
      [4, 'id'],
      [1, 'flags: none'],
      [1, 'code 1: REJECTED; then the value {message, data}'],
    ]),
    layout(encodeMoved(0x0001_0000, other.id), [
      [1, 'moved'],
      [4, 'id'],
      [2, 'length of the node id'],
      [52, 'where the agent is, as text'],
    ]),
  ].join('\n');
}

function streamExample(): string {
  const header = { method: '', idempotencyKey: undefined, callerAgent: undefined, trace: undefined };
  return [
    layout(encodeOpen('counter', header, Number.POSITIVE_INFINITY, 262_144, null, limit), [
      [1, 'open'],
      [4, 'remaining: no bound'],
      [4, 'credit 262,144 bytes for the acceptor’s items'],
      [1, 'flags: none'],
      [9, 'agent "counter"'],
      [1, 'value null'],
    ]),
    layout(encodeCredit(21, 262_144), [
      [1, 'accepted'],
      [4, 'credit 262,144 bytes for the opener’s items'],
    ]),
    layout(encodeItem('to be', limit), [
      [1, 'item; this one costs 7 + 64 bytes of credit'],
      [6, 'value "to be"'],
    ]),
    layout(encodeCredit(20, 131_104), [
      [1, 'credit'],
      [4, '131,104 bytes more'],
    ]),
  ].join('\n');
}

const values: readonly (readonly [string, Value])[] = [
  ['null', null],
  ['undefined', undefined],
  ['true', true],
  ['10', 10],
  ['-1', -1],
  ['2^53 - 1', Number.MAX_SAFE_INTEGER],
  ['0.5', 0.5],
  ['0.1', 0.1],
  ['10n', 10n],
  ['-1n', -1n],
  ['"é"', 'é'],
  ['bytes 01 02', Uint8Array.of(1, 2)],
  ['[1, [2]]', [1, [2]]],
  ['{bb: 1, a: 2}', { bb: 1, a: 2 }],
  ['Map {1 → 2}', new Map([[1, 2]])],
  ['Date 1.5 s after 1970', new Date(1_500)],
];

function valuesExample(): string {
  const writer = new PayloadWriter();
  return values
    .map(([name, value]) => {
      writer.begin(limit);
      writer.value(value);
      return `${name.padEnd(23)} ${hex(encodeValue(value)).padEnd(23)} ${hex(writer.finish())}`;
    })
    .join('\n');
}

function identityExample(): string {
  return [
    `seed        ${hex(author.seed)}`,
    `public key  ${hex(author.publicKey)}`,
    `node id     ${author.id}`,
    `mesh tag    ${hex(meshTag('default'))}  of "default"`,
    `head        ${hex(envelopes().head)}  content hash of the envelope below`,
  ].join('\n');
}

function ringsExample(): string {
  const ids = Array.from({ length: 8 }, (_, index) => createIdentity(new Uint8Array(32).fill(index + 1)).id);
  const rings = new Rings();
  for (const id of ids) rings.add(id);
  return ids
    .map((id, index) => {
      const observers = rings.observersOf(id).map((observer) => ids.indexOf(observer) + 1);
      return `${index + 1}  ${id}  ${observers.join(' ')}`;
    })
    .join('\n');
}

export const examples: Readonly<Record<string, () => string>> = {
  identity: identityExample,
  values: valuesExample,
  hello: helloExample,
  refuse: refuseExample,
  control: controlExample,
  envelope: snapshotExample,
  delta: deltaExample,
  heads: headsExample,
  rings: ringsExample,
  request: callExample,
  answers: answersExample,
  stream: streamExample,
};
