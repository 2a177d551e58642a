/** The other end of the machine: values become commands, answers become values or errors. */
import { type ErrorCode, QuorateError } from '../../../errors.ts';
import { decodePayload, encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import type { Ordering, OrderingOptions, ReadConsistency, Subscriber } from '../ordering.ts';
import { maxCommandBytes } from './limits.ts';
import type { Answer } from './reducer.ts';

/** A command or query before it is checked by the machine. */
export interface Sent {
  readonly kind: string;
  readonly [field: string]: unknown;
}

export class MachineClient {
  readonly ordering: Ordering;

  constructor(ordering: Ordering) {
    this.ordering = ordering;
  }

  /** The machine's answer, refusals included. Rejects as `Ordering.submit` does. */
  async submit(command: Sent, options?: OrderingOptions): Promise<Answer> {
    return decodeAnswer(await this.ordering.submit(encodePayload(command, maxCommandBytes), options));
  }

  async query(
    query: Sent,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<Answer> {
    return decodeAnswer(await this.ordering.query(encodePayload(query, maxCommandBytes), options));
  }

  /** As `Ordering.certify`. */
  certify(query: Sent, options?: OrderingOptions): Promise<Certificate> {
    return this.ordering.certify(encodePayload(query, maxCommandBytes), options);
  }

  subscribe(topic: string, subscriber: { onEvent(payload: Value): void; onGap(): void }): () => void {
    const raw: Subscriber = {
      onEvent: (bytes) => {
        const decoded = decodePayload(bytes);
        if (decoded.ok) subscriber.onEvent(decoded.value);
        else subscriber.onGap();
      },
      onGap: () => subscriber.onGap(),
    };
    return this.ordering.subscribe(topic, raw);
  }
}

function decodeAnswer(bytes: Uint8Array): Answer {
  const decoded = decodePayload(bytes);
  const parts = decoded.ok && Array.isArray(decoded.value) ? (decoded.value as readonly Value[]) : [];
  if (parts.length === 1) return { ok: true, value: parts[0] };
  const [code, data] = parts;
  if (typeof code !== 'string' || typeof data !== 'object' || data === null) {
    // Enough validators gave these bytes alike, so it is a machine of another version, not a lie.
    throw new QuorateError('WRONG_VERSION', 'The validators answered something this version does not understand.');
  }
  return { ok: false, code: code as ErrorCode, data: data as { readonly [key: string]: Value } };
}
