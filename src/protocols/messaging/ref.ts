/** The types of `ref`, and the small proxy behind it. */

import type { AgentId } from '../../value.ts';
import type { Criteria } from '../registry/records.ts';
import type { CallOptions, CastOptions, StreamOptions } from './call-options.ts';

type RefOptions<Options> = Omit<Options, 'method'>;

/** One method, as its caller sees it: a promise of the reply, or a stream of items. */
type RefMethod<Message, Result> =
  Awaited<Result> extends AsyncIterable<infer Item>
    ? { stream(message: Message, options?: RefOptions<StreamOptions>): AsyncIterable<Item> }
    : {
        (message: Message, options?: RefOptions<CallOptions>): Promise<Awaited<Result>>;
        /** Sends without waiting for the reply. */
        cast(message: Message, options?: RefOptions<CastOptions>): Promise<void>;
      };

/**
 * An agent with the methods of its handler object. A method that returns a value is called; one that returns
 * an async iterable is read with `.stream(…)`; `.cast(…)` sends without waiting.
 *
 * @example
 * const counter = {
 *   count: (text: string) => text.length,
 *   async *words(text: string) { yield* text.split(' ') },
 * }
 * const ref = mesh.ref<typeof counter>('counter')
 * const length = await ref.count('to be')                       // number
 * for await (const word of ref.words.stream('to be')) print(word) // string
 */
export type AgentRef<Api> = {
  readonly [Name in keyof Api]: Api[Name] extends (message: infer Message, context: never) => infer Result
    ? RefMethod<Message, Result>
    : never;
};

/** The part of messaging behind a reference. */
export interface RefTarget {
  call<Reply>(target: AgentId | Criteria, message: unknown, options?: CallOptions): Promise<Reply>;
  cast(target: AgentId | Criteria, message: unknown, options?: CastOptions): Promise<void>;
  stream<Item>(target: AgentId | Criteria, message: unknown, options?: StreamOptions): AsyncIterable<Item>;
}

export function createRef<Api>(messaging: RefTarget, target: AgentId | Criteria): AgentRef<Api> {
  const methods = new Map<string, unknown>();
  return new Proxy(Object.freeze({}), {
    get(_target, name) {
      // A reference must not look like a promise, or awaiting it would call a method named `then`.
      if (typeof name !== 'string' || name === 'then') return undefined;
      let method = methods.get(name);
      if (method === undefined) {
        method = refMethod(messaging, target, name);
        methods.set(name, method);
      }
      return method;
    },
  }) as AgentRef<Api>;
}

function refMethod(messaging: RefTarget, target: AgentId | Criteria, method: string): unknown {
  const call = (message: unknown, options?: CallOptions): Promise<unknown> =>
    messaging.call(target, message, { ...options, method });
  return Object.assign(call, {
    cast: (message: unknown, options?: CastOptions) => messaging.cast(target, message, { ...options, method }),
    stream: (message: unknown, options?: StreamOptions) => messaging.stream(target, message, { ...options, method }),
  });
}
