/**
 * The worked examples of PROTOCOL.md, made by the code they describe. Each is the text of one fenced block,
 * by the name that follows `hex` in the fence.
 */
import { hash } from 'node:crypto';
import { encodeValue } from '../src/codec.ts';
import { meshTag } from '../src/crdt/envelope.ts';
import { FeedStore } from '../src/crdt/feed-store.ts';
import { createIdentity, type Identity } from '../src/identity.ts';
import { encodeControlFrame, targetKey } from '../src/p2p/detector/frames.ts';
import { Rings } from '../src/p2p/detector/rings.ts';
import { encodeHelloFrame } from '../src/p2p/handshake.ts';
import { writeHeader } from '../src/p2p/libp2p/frames.ts';
import { encodePayload } from '../src/payload.ts';
import { PayloadWriter } from '../src/payload-writer.ts';
import { arrivalBytes } from '../src/protocols/coordination/barrier/commands.ts';
import { statementBytes } from '../src/protocols/coordination/certificates/statement.ts';
import { defineGroup, encodeDefinition, type GroupDefinition } from '../src/protocols/coordination/group/definition.ts';
import { encodeGroupFrame } from '../src/protocols/coordination/group/frames.ts';
import { DDSketch } from '../src/protocols/infrastructure/monitor/ddsketch.ts';
import { encodeSketch } from '../src/protocols/infrastructure/monitor/sketch-bytes.ts';
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
import { encodeMessage, requestBody, requestBytes } from '../src/protocols/pbft/encoding.ts';
import { bodyBytes, makeBatch, type Operation, proposalBytes, type Request } from '../src/protocols/pbft/messages.ts';
import { encodeOutcome } from '../src/protocols/pbft/outcome.ts';
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

/** Four founders that bear one liar; the author is one of them. */
function groupOfFour(): GroupDefinition {
  const founders = [0, 32, 64, 96].map((from) => seeded(from).id);
  return defineGroup('default', founders, 1);
}

function groupExample(): string {
  const { founders, id } = groupOfFour();
  const definition = encodeDefinition(groupOfFour());
  return [
    ...founders.validators.map((validator, index) => `founder ${index}   ${validator}`),
    `definition  ${definition.length} bytes, SHA-256 ${hash('sha256', definition, 'hex')}`,
    `group id    ${hex(id)}`,
  ].join('\n');
}

/** What the author asks the validators: to add 2 to a counter. */
const command = encodePayload({ kind: 'counter.add', name: 'hits', amount: 2 }, limit);

function requestOfAuthor(): Request {
  const operation: Operation = { kind: 'commands', commands: [command] };
  const content = { client: author.id, session: 5, number: 1, acknowledged: 0, operation } as const;
  const body = requestBody(content);
  const signature = author.sign(bodyBytes(groupOfFour().id, 'request', body));
  return { type: 'request', ...content, signature, bytes: requestBytes(body, signature) };
}

function orderedExample(): string {
  const message = encodeMessage(requestOfAuthor());
  return layout(message, [
    [1, 'message 1, request'],
    [2, `length of the rest, ${message.length - 3}`],
    [1, 'length of the client’s id, 52'],
    [52, 'client: the author'],
    [1, 'session 5'],
    [1, 'number 1'],
    [1, 'acknowledged 0'],
    [1, 'operation 1, commands'],
    [1, '1 command'],
    [1, `its length, ${command.length}`],
    [command.length, 'the command in CBOR: kind, name, amount'],
    [1, 'length of the signature, 64'],
    [64, 'the client’s, over group id, 01, and client to command'],
  ]);
}

function prepareExample(): string {
  const { digest } = makeBatch(1_700_000_000_000, [requestOfAuthor()]);
  const vote = { epoch: 0, view: 3, seq: 300, digest };
  const { epoch, view, seq } = vote;
  const signature = author.sign(proposalBytes(groupOfFour().id, 'prepare', epoch, view, seq, digest));
  return layout(encodeMessage({ type: 'prepare', ...vote, replica: author.id, signature }), [
    [1, 'message 3, prepare'],
    [1, 'epoch 0'],
    [1, 'view 3'],
    [2, 'sequence 300'],
    [32, 'digest of a batch: time 1,700,000,000,000, and the request above'],
    [1, 'length of the replica’s id, 52'],
    [52, 'replica: the author'],
    [1, 'length of the signature, 64'],
    [64, 'over group id, 03, epoch, view, sequence, digest'],
  ]);
}

function replyExample(): string {
  const value = encodePayload([7], limit);
  const result = encodeOutcome({ kind: 'done', results: [{ ok: true, value }] });
  const message = { type: 'reply', client: author.id, session: 5, number: 1, epoch: 0, view: 3, result } as const;
  return layout(encodeMessage(message), [
    [1, 'message 15, reply'],
    [1, 'length of the client’s id, 52'],
    [52, 'client'],
    [1, 'session 5'],
    [1, 'number 1'],
    [1, 'epoch 0'],
    [1, 'view 3'],
    [1, `length of the outcome, ${result.length}`],
    [1, 'outcome 0, done'],
    [1, '1 result'],
    [1, 'status 0: it has run'],
    [1, 'length of the answer, 2'],
    [2, 'the answer in CBOR: [7], accepted, the sum is 7'],
  ]);
}

function coordinationExample(): string {
  const happened = encodePayload({ type: 'vacant', token: 9 }, limit);
  return [
    layout(encodeGroupFrame({ type: 'subscribe', topic: 'grant/chief' }), [
      [1, 'map of 2'],
      [15, '"type": "subscribe"'],
      [18, '"topic": "grant/chief"'],
    ]),
    layout(encodeGroupFrame({ type: 'event', topic: 'grant/chief', revision: 12, payload: happened }), [
      [1, 'map of 4'],
      [11, '"type": "event"'],
      [18, '"topic": "grant/chief"'],
      [10, '"revision": 12'],
      [9 + happened.length, '"payload": bytes, {"type": "vacant", "token": 9}'],
    ]),
  ].join('\n');
}

function statementExample(): string {
  const query = encodePayload({ kind: 'names.grant', id: 'echo', token: 9 }, limit);
  const statement = encodeValue({ id: 'echo', node: author.id, token: 9, grantedAt: 2_048 });
  return layout(statementBytes(groupOfFour().id, 0, query, statement), [
    [1, 'length of the domain, 21'],
    [21, 'domain "quorate/certificate/1"'],
    [1, 'length of the group id, 32'],
    [32, 'group id'],
    [1, 'epoch 0'],
    [1, `length of the query, ${query.length}`],
    [query.length, 'the query in CBOR, message profile: names.grant, echo, 9'],
    [1, `length of the statement, ${statement.length}`],
    [statement.length, 'the statement in CBOR, signed profile'],
  ]);
}

function arrivalExample(): string {
  const nonce = Uint8Array.from({ length: 16 }, (_, index) => index);
  const at = { id: 'epoch', epoch: 9, generation: 2 };
  return layout(arrivalBytes({ at, nonce, zone: 'eu-1', as: 'trainer', attempt: 1 }), [
    [26, 'domain "quorate/barrier-arrival/1", its length before it'],
    [6, 'barrier "epoch"'],
    [17, 'nonce of the barrier'],
    [1, 'epoch 9'],
    [1, 'generation 2'],
    [5, 'zone "eu-1"'],
    [8, 'as "trainer"'],
    [1, 'attempt 1'],
  ]);
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

function sketchExample(): string {
  const sketch = new DDSketch();
  for (const value of [-2, 0, 1, 10, 10, 12.5]) sketch.add(value);
  return layout(encodeSketch(sketch), [
    [1, 'version 1'],
    [1, 'one zero'],
    [1, 'one bucket of negative numbers'],
    [1, 'lowest: 35'],
    [2, 'there, one: −2'],
    [1, 'three buckets of positive numbers'],
    [1, 'lowest: 0'],
    [2, 'there, one: 1'],
    [2, '116 further, two: 10'],
    [2, '11 further, one: 12.5'],
  ]);
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
  sketch: sketchExample,
  request: callExample,
  answers: answersExample,
  stream: streamExample,
  group: groupExample,
  ordered: orderedExample,
  prepare: prepareExample,
  reply: replyExample,
  coordination: coordinationExample,
  statement: statementExample,
  arrival: arrivalExample,
};
