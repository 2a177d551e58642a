/**
 * Gossipsub's protocol written by hand, as somebody would who wants to send what an implementation never sends:
 * duplicates, other topics, lists of ids that do not exist, bytes that are no protobuf.
 */

export const gossipProtocols = ['/meshsub/1.2.0', '/meshsub/1.1.0', '/meshsub/1.0.0'];

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function field(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** `RPC.subscriptions` = { subscribe: true, topic }. */
export function subscribeRpc(topic: string): Uint8Array {
  return field(1, Buffer.concat([Uint8Array.of(0x08, 0x01), field(2, topic)]));
}

/** `RPC.messages` = { data, topic }, several in one. */
export function publishRpc(topic: string, messages: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(messages.map((data) => field(2, Buffer.concat([field(2, data), field(4, topic)]))));
}

/** `RPC.control.graft`. */
export function graftRpc(topic: string): Uint8Array {
  return field(3, field(3, field(1, topic)));
}

/** `RPC.control.ihave`: promises of messages. */
export function ihaveRpc(topic: string, ids: readonly Uint8Array[]): Uint8Array {
  return field(3, field(1, Buffer.concat([field(1, topic), ...ids.map((id) => field(2, id))])));
}

/** `RPC.control.iwant`: requests for messages. */
export function iwantRpc(ids: readonly Uint8Array[]): Uint8Array {
  return field(3, field(2, Buffer.concat(ids.map((id) => field(1, id)))));
}

/** The data of the messages in a packet of an honest node. */
export function messagesIn(rpc: Uint8Array): Uint8Array[] {
  return fieldsOf(rpc)
    .filter(([number]) => number === 2)
    .flatMap(([, message]) => fieldsOf(message).filter(([number]) => number === 2))
    .map(([, data]) => data);
}

/** Length-delimited fields; honest packets are taken at their word. */
function fieldsOf(bytes: Uint8Array): [number, Uint8Array][] {
  const fields: [number, Uint8Array][] = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = number();
    const size = number();
    if (key % 8 !== 2) continue; // A plain number: `size` was it.
    fields.push([Math.floor(key / 8), bytes.slice(at, at + size)]);
    at += size;
  }
  return fields;
}
