/** Messages to bytes and back. Decoding checks size and shape only; validate.ts checks what they mean. */
import type { NodeId } from '../../node-id.ts';
import { type Group, type GroupParameters, writeGroup } from './group.ts';
import {
  type Batch,
  type CheckpointHead,
  type CheckpointProof,
  type Digest,
  digestOf,
  type Endorsement,
  type Message,
  type MessageType,
  messageNumbers,
  type NewView,
  type Operation,
  type PreparedCertificate,
  type Proposal,
  type ReProposal,
  type Request,
  statusSlots,
  type ViewChange,
} from './messages.ts';
import { maxValidators } from './quorum.ts';
import { Reader, Writer } from './wire.ts';

const idLength = 64;
const signatureLength = 64;
/** Changes of validators in the life of a group, so that one message proves them all to a newcomer. */
export const maxEpochs = 1_024;
const typeOf = new Map<number, MessageType>(
  Object.entries(messageNumbers).map(([type, number]) => [number, type as MessageType]),
);

// Parts that occur in several messages.

const readId = (r: Reader): NodeId => r.text(idLength) as NodeId;
const signature = (w: Writer, bytes: Uint8Array): Writer => w.bytes(bytes);
const readSignature = (r: Reader): Uint8Array => r.bytes(signatureLength);

function writeEndorsement(w: Writer, { replica, signature: bytes }: Endorsement): void {
  signature(w.text(replica), bytes);
}
const readEndorsement = (r: Reader): Endorsement => ({ replica: readId(r), signature: readSignature(r) });

export function readGroup(r: Reader): Group {
  const [epoch, since, f] = [r.uint(), r.uint(), r.uint()];
  return { epoch, since, f, validators: r.list(maxValidators, readId) };
}

function writeHead(w: Writer, head: CheckpointHead): void {
  writeGroup(w.uint(head.seq).digest(head.root).uint(head.bytes), head.group);
}
function readHead(r: Reader): CheckpointHead {
  return { seq: r.uint(), root: r.digest(), bytes: r.uint(), group: readGroup(r) };
}

/** What checkpoint messages name. */
export function headDigest(head: CheckpointHead): Digest {
  const writer = new Writer();
  writeHead(writer, head);
  return digestOf(writer.finish());
}

export function writeProof(w: Writer, proof: CheckpointProof): void {
  writeHead(w.uint(proof.epoch), proof.head);
  w.list(proof.votes, writeEndorsement);
}
export function readProof(r: Reader): CheckpointProof {
  return { epoch: r.uint(), head: readHead(r), votes: r.list(maxValidators, readEndorsement) };
}

function writeCertificate(w: Writer, certificate: PreparedCertificate): void {
  w.uint(certificate.view).uint(certificate.seq).digest(certificate.digest);
  signature(w, certificate.signature).list(certificate.prepares, writeEndorsement);
}
function readCertificate(r: Reader): PreparedCertificate {
  const [view, seq, digest] = [r.uint(), r.uint(), r.digest()];
  return { view, seq, digest, signature: readSignature(r), prepares: r.list(maxValidators, readEndorsement) };
}

export function encodeCertificate(certificate: PreparedCertificate): Uint8Array {
  const writer = new Writer();
  writeCertificate(writer, certificate);
  return writer.finish();
}
export function decodeCertificate(bytes: Uint8Array): PreparedCertificate | undefined {
  const reader = new Reader(bytes);
  const certificate = readCertificate(reader);
  return reader.complete ? certificate : undefined;
}

// Requests and batches.

/** The signed part of a request. */
export function requestBody(request: Omit<Request, 'type' | 'signature' | 'bytes'>): Uint8Array {
  const w = new Writer().text(request.client).uint(request.session).uint(request.number).uint(request.acknowledged);
  const operation = request.operation;
  if (operation.kind === 'open') w.uint(0);
  else if (operation.kind === 'commands') w.uint(1).list(operation.commands, (inner, bytes) => inner.bytes(bytes));
  else
    w.uint(2)
      .uint(operation.f)
      .list(operation.validators, (inner, id) => inner.text(id));
  return w.finish();
}

/** The whole encoding of a request (without the message number), as batches carry it. */
export function requestBytes(body: Uint8Array, bytes: Uint8Array): Uint8Array {
  return new Writer().fixed(body).bytes(bytes).finish();
}

/** A request and the part of it that is signed, or undefined. */
function decodeRequest(
  bytes: Uint8Array,
  limits: GroupParameters,
): { readonly request: Request; readonly body: Uint8Array } | undefined {
  if (bytes.length > limits.maxRequestBytes) return undefined;
  const r = new Reader(bytes);
  const head = { client: readId(r), session: r.uint(), number: r.uint(), acknowledged: r.uint() };
  const operation = readOperation(r, limits);
  const body = r.since(0);
  const request: Request = { type: 'request', ...head, operation, signature: readSignature(r), bytes };
  const open = operation.kind === 'open';
  const sound = r.complete && open === (head.session === 0) && head.number > 0 && head.acknowledged < head.number;
  return sound ? { request, body } : undefined;
}

function readOperation(r: Reader, limits: GroupParameters): Operation {
  const kind = r.uint();
  if (kind === 0) return { kind: 'open' };
  if (kind === 1) {
    return { kind: 'commands', commands: r.list(limits.maxCommands, (inner) => inner.bytes(limits.maxRequestBytes)) };
  }
  if (kind !== 2) r.failed = true;
  const f = r.uint();
  return { kind: 'reconfigure', f, validators: r.list(maxValidators, readId) };
}

/** A batch, and each request's signed part in order. */
function decodeBatch(
  bytes: Uint8Array,
  limits: GroupParameters,
): { readonly batch: Batch; readonly bodies: readonly Uint8Array[] } | undefined {
  if (bytes.length > limits.maxBatchBytes) return undefined;
  const r = new Reader(bytes);
  const time = r.uint();
  const raw = r.list(limits.maxBatchRequests, (inner) => inner.bytes(limits.maxRequestBytes));
  if (!r.complete) return undefined;
  const requests: Request[] = [];
  const bodies: Uint8Array[] = [];
  for (const one of raw) {
    const decoded = decodeRequest(one, limits);
    if (decoded === undefined) return undefined;
    requests.push(decoded.request);
    bodies.push(decoded.body);
  }
  return { batch: { time, requests, bytes, digest: digestOf(bytes) }, bodies };
}

// View changes.

export function viewChangeBody(change: Omit<ViewChange, 'type' | 'signature' | 'body'>): Uint8Array {
  const w = new Writer().uint(change.epoch).uint(change.view).text(change.replica);
  writeProof(w, change.checkpoint);
  return w.list(change.prepared, writeCertificate).finish();
}
const writeSignedBody = (w: Writer, message: { body: Uint8Array; signature: Uint8Array }): Writer =>
  signature(w.bytes(message.body), message.signature);

function readViewChange(r: Reader, limits: GroupParameters): ViewChange {
  const body = r.bytes(messageLimit('viewChange', limits));
  const inner = new Reader(body);
  const change: ViewChange = {
    type: 'viewChange',
    epoch: inner.uint(),
    view: inner.uint(),
    replica: readId(inner),
    checkpoint: readProof(inner),
    prepared: inner.list(limits.window, readCertificate),
    signature: readSignature(r),
    body,
  };
  if (!inner.complete) r.failed = true;
  return change;
}

export function newViewBody(view: Omit<NewView, 'type' | 'signature' | 'body'>): Uint8Array {
  const w = new Writer().uint(view.epoch).uint(view.view).text(view.replica);
  w.list(view.viewChanges, writeSignedBody);
  return w
    .list(view.proposals, (inner, { seq, digest, signature: bytes }) => {
      signature(inner.uint(seq).digest(digest), bytes);
    })
    .finish();
}
function readNewView(r: Reader, limits: GroupParameters): NewView {
  const body = r.bytes(messageLimit('newView', limits));
  const inner = new Reader(body);
  const readReProposal = (one: Reader): ReProposal => ({
    seq: one.uint(),
    digest: one.digest(),
    signature: readSignature(one),
  });
  const view: NewView = {
    type: 'newView',
    epoch: inner.uint(),
    view: inner.uint(),
    replica: readId(inner),
    viewChanges: inner.list(maxValidators, (one) => readViewChange(one, limits)),
    proposals: inner.list(limits.window, readReProposal),
    signature: readSignature(r),
    body,
  };
  if (!inner.complete) r.failed = true;
  return view;
}

// Whole messages.

/** The most bytes a message of this type can have; anything larger is refused before it is read. */
export function messageLimit(type: MessageType, limits: GroupParameters): number {
  const endorsement = idLength + signatureLength + 4;
  const proof = 256 + maxValidators * (idLength + 1 + endorsement);
  const viewChange = proof + limits.window * (160 + maxValidators * endorsement);
  switch (type) {
    case 'request':
      return limits.maxRequestBytes + 16;
    case 'prePrepare':
    case 'batch':
      return limits.maxBatchBytes + 512;
    case 'viewChange':
      return viewChange + 128;
    case 'newView':
      return Math.min(maxValidators * viewChange, 64 << 20);
    case 'catchUp':
      return (maxEpochs + 1) * proof;
    case 'statePart':
      return Math.max(limits.chunkBytes, 32 * Math.ceil(limits.maxStateBytes / limits.chunkBytes)) + 64;
    case 'status':
      return 256 + maxValidators * (idLength + 1) + statusSlots;
    case 'reply':
    case 'readReply':
    case 'read':
      return limits.maxResultBytes + 512;
    default:
      return 512;
  }
}

function writeProposal(w: Writer, message: Proposal): Writer {
  w.uint(message.epoch).uint(message.view).uint(message.seq).digest(message.digest).text(message.replica);
  return signature(w, message.signature);
}

export function encodeMessage(message: Message): Uint8Array {
  const w = new Writer().uint(messageNumbers[message.type]);
  writeMessage(w, message);
  return w.finish();
}

function writeMessage(w: Writer, m: Message): Writer {
  switch (m.type) {
    case 'request':
      return w.bytes(m.bytes);
    case 'prePrepare':
      writeProposal(w, m);
      return m.batch === undefined ? w.uint(0) : w.uint(1).bytes(m.batch.bytes);
    case 'prepare':
      return writeProposal(w, m);
    case 'commit':
      return w.uint(m.epoch).uint(m.view).uint(m.seq).digest(m.digest).text(m.replica);
    case 'checkpoint':
      return signature(w.uint(m.epoch).uint(m.seq).digest(m.digest).text(m.replica), m.signature);
    case 'viewChange':
    case 'newView':
      return writeSignedBody(w, m);
    case 'status':
      w.uint(m.epoch)
        .uint(m.view)
        .uint(m.active ? 1 : 0)
        .uint(m.suspects ? 1 : 0)
        .uint(m.stable)
        .uint(m.executed);
      return w.list(m.viewChanges, (o, id) => o.text(id)).list(m.slots, (o, bits) => o.uint(bits));
    case 'fetchBatch':
      return w.uint(m.seq).digest(m.digest);
    case 'batch':
      return w.uint(m.seq).bytes(m.batch.bytes);
    case 'committed':
      return w.uint(m.epoch).uint(m.seq).digest(m.digest);
    case 'catchUp':
      w.list(m.epochs, writeProof);
      writeProof(w, m.checkpoint);
      return w;
    case 'fetchState':
      return w.uint(m.seq).uint(m.part);
    case 'statePart':
      return w.uint(m.seq).uint(m.part).bytes(m.bytes);
    case 'reply':
      w.text(m.client).uint(m.session).uint(m.number).uint(m.epoch).uint(m.view);
      return w.bytes(m.result);
    case 'read':
      return w.uint(m.number).bytes(m.query);
    case 'readReply':
      return w.uint(m.number).uint(m.epoch).bytes(m.result);
  }
}

/** What decoding yields: the message, and the signed parts of the requests inside it. */
export interface Decoded {
  readonly message: Message;
  readonly requestBodies: readonly Uint8Array[];
}

/** The message in `bytes`, or why there is none. Never throws. */
export function decodeMessage(bytes: Uint8Array, limits: GroupParameters): Decoded | 'too-large' | 'malformed' {
  const r = new Reader(bytes);
  const type = typeOf.get(r.uint());
  if (type === undefined) return 'malformed';
  if (bytes.length > messageLimit(type, limits)) return 'too-large';
  const decoded = readMessage(r, type, limits);
  return decoded !== undefined && r.complete ? decoded : 'malformed';
}

const plain = (message: Message): Decoded => ({ message, requestBodies: [] });

function readProposal(r: Reader): Proposal {
  const [epoch, view, seq, digest, replica] = [r.uint(), r.uint(), r.uint(), r.digest(), readId(r)];
  return { epoch, view, seq, digest, replica, signature: readSignature(r) };
}

function readMessage(r: Reader, type: MessageType, limits: GroupParameters): Decoded | undefined {
  switch (type) {
    case 'request': {
      const decoded = decodeRequest(r.bytes(limits.maxRequestBytes), limits);
      return decoded && { message: decoded.request, requestBodies: [decoded.body] };
    }
    case 'prePrepare': {
      const proposal = readProposal(r);
      if (!r.bool()) return plain({ type, ...proposal, batch: undefined });
      const decoded = decodeBatch(r.bytes(limits.maxBatchBytes), limits);
      return decoded && { message: { type, ...proposal, batch: decoded.batch }, requestBodies: decoded.bodies };
    }
    case 'prepare':
      return plain({ type, ...readProposal(r) });
    case 'viewChange':
      return plain(readViewChange(r, limits));
    case 'newView':
      return plain(readNewView(r, limits));
    case 'batch': {
      const seq = r.uint();
      const decoded = decodeBatch(r.bytes(limits.maxBatchBytes), limits);
      return decoded && plain({ type, seq, batch: decoded.batch });
    }
    default:
      return plain(readSimple(r, type, limits));
  }
}

type SimpleType = Exclude<MessageType, 'request' | 'prePrepare' | 'prepare' | 'viewChange' | 'newView' | 'batch'>;

/** Fields are read in the order they are written down, which JavaScript guarantees for object literals. */
function readSimple(r: Reader, type: SimpleType, limits: GroupParameters): Message {
  switch (type) {
    case 'commit':
      return { type, epoch: r.uint(), view: r.uint(), seq: r.uint(), digest: r.digest(), replica: readId(r) };
    case 'checkpoint': {
      const [epoch, seq, digest, replica] = [r.uint(), r.uint(), r.digest(), readId(r)];
      return { type, epoch, seq, digest, replica, signature: readSignature(r) };
    }
    case 'status': {
      const [epoch, view, active, suspects, stable, executed] = [
        r.uint(),
        r.uint(),
        r.bool(),
        r.bool(),
        r.uint(),
        r.uint(),
      ];
      const viewChanges = r.list(maxValidators, readId);
      return {
        type,
        epoch,
        view,
        active,
        suspects,
        stable,
        executed,
        viewChanges,
        slots: r.list(statusSlots, readBits),
      };
    }
    case 'fetchBatch':
      return { type, seq: r.uint(), digest: r.digest() };
    case 'committed':
      return { type, epoch: r.uint(), seq: r.uint(), digest: r.digest() };
    case 'catchUp':
      return { type, epochs: r.list(maxEpochs, readProof), checkpoint: readProof(r) };
    case 'fetchState':
      return { type, seq: r.uint(), part: r.uint() };
    case 'statePart':
      return { type, seq: r.uint(), part: r.uint(), bytes: r.bytes(messageLimit('statePart', limits)) };
    case 'reply': {
      const [client, session, number, epoch, view] = [readId(r), r.uint(), r.uint(), r.uint(), r.uint()];
      return { type, client, session, number, epoch, view, result: r.bytes(limits.maxResultBytes + 64) };
    }
    case 'read':
      return { type, number: r.uint(), query: r.bytes(limits.maxRequestBytes) };
    case 'readReply':
      return { type, number: r.uint(), epoch: r.uint(), result: r.bytes(limits.maxResultBytes + 64) };
  }
}

function readBits(r: Reader): number {
  const bits = r.uint();
  if (bits > 7) r.failed = true;
  return bits;
}
