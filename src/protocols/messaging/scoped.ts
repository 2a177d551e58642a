/** `context.mesh`: messaging on behalf of an invocation, with what is left of its deadline, its trace and its name. */
import type { AgentId, Value } from '../../value.ts';
import type { Criteria } from '../registry/records.ts';
import type { Invocation } from './invocation.ts';
import type { CallOptions, CastOptions, Messaging, StreamOptions } from './messaging.ts';
import { type AgentRef, createRef } from './ref.ts';

/** Messaging that can send on behalf of an invocation. */
export interface ScopeHost {
  callFrom<Reply>(
    scope: Invocation,
    target: AgentId | Criteria,
    message: unknown,
    options: CallOptions | undefined,
  ): Promise<Reply>;
  castFrom(
    scope: Invocation,
    target: AgentId | Criteria,
    message: unknown,
    options: CastOptions | undefined,
  ): Promise<void>;
  streamFrom<Item>(
    scope: Invocation,
    target: AgentId | Criteria,
    message: unknown,
    options: StreamOptions | undefined,
  ): AsyncIterable<Item>;
}

export class ScopedMessaging implements Messaging {
  readonly #base: ScopeHost;
  readonly #scope: Invocation;

  constructor(base: ScopeHost, scope: Invocation) {
    this.#base = base;
    this.#scope = scope;
  }

  call<Reply = Value>(target: AgentId | Criteria, message: unknown, options?: CallOptions): Promise<Reply> {
    return this.#base.callFrom<Reply>(this.#scope, target, message, options);
  }

  cast(target: AgentId | Criteria, message: unknown, options?: CastOptions): Promise<void> {
    return this.#base.castFrom(this.#scope, target, message, options);
  }

  stream<Item = Value>(target: AgentId | Criteria, message: unknown, options?: StreamOptions): AsyncIterable<Item> {
    return this.#base.streamFrom<Item>(this.#scope, target, message, options);
  }

  ref<Api>(target: AgentId | Criteria): AgentRef<Api> {
    return createRef<Api>(this, target);
  }
}
