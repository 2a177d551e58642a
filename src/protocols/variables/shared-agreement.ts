/**
 * What the validators have put in order for one variable: heard, checked, and proposed from here.
 *
 * Strong variables listen from the beginning. The others ask the validators only when there is something to hear: whoever knows an agreement says so by an
 * entry (`a/<name>`), which is no more than a hint.
 */
import type { Value } from '../../value.ts';
import type { OrderingOptions } from '../coordination/ordering.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import type { Agreed, Agreements } from './agreed/agreements.ts';
import { migrated } from './contributions.ts';
import type { AgreedValue } from './decision.ts';
import type { Definition } from './definition.ts';
import { agreedHintKey } from './entries.ts';
import type { Checked } from './kinds/kind.ts';

export interface SharedAgreementOptions<T> {
  readonly definition: Definition<T>;
  readonly agreements: Agreements;
  readonly entries: SharedEntries;
  /** `agreed` is another, or none any more. Not called after `stop`. */
  readonly onAgreed: () => void;
}

export class SharedAgreement<T> {
  readonly #options: SharedAgreementOptions<T>;
  readonly #hintKey: string;
  readonly #unwatch: () => void;
  #unfollow: (() => void) | undefined;
  #agreed: AgreedValue<T> | undefined;
  #hasStopped = false;

  constructor(options: SharedAgreementOptions<T>) {
    this.#options = options;
    const { definition, entries } = options;
    this.#hintKey = agreedHintKey(definition.name);
    this.#unwatch = entries.onKey(this.#hintKey, () => this.#follow());
  }

  /** Begins to listen, if there may be something to hear. */
  start(): void {
    const { definition, entries } = this.#options;
    if (definition.sync === 'strong' || entries.of(this.#hintKey).size > 0) this.#follow();
  }

  get agreed(): AgreedValue<T> | undefined {
    return this.#agreed;
  }

  /** One ordered command. When it resolves, `onAgreed` has been called. Throws what `Agreements.propose` throws. */
  async propose(
    value: T,
    at: number,
    ifVersion: number | undefined,
    options: OrderingOptions,
  ): Promise<{ readonly version: number }> {
    const { definition, agreements } = this.#options;
    this.#follow();
    const { name, version, digest } = definition;
    return agreements.propose(name, { value: value as Value, definition: { version, digest }, at, ifVersion }, options);
  }

  stop(): void {
    this.#hasStopped = true;
    this.#unwatch();
    this.#unfollow?.();
  }

  /** Takes back what this node says of it; after `stop`. */
  withdraw(): void {
    if (this.#options.entries.own(this.#hintKey) !== undefined) this.#options.entries.delete(this.#hintKey);
  }

  #follow(): void {
    if (this.#unfollow !== undefined || this.#hasStopped) return;
    // Set first: the listener may be called before `follow` returns.
    this.#unfollow = () => undefined;
    this.#unfollow = this.#options.agreements.follow(this.#options.definition.name, {
      accepts: (agreed) => this.#read(agreed).ok,
      onAgreed: (agreed) => this.#onAgreed(agreed),
    });
  }

  #onAgreed(agreed: Agreed | undefined): void {
    if (this.#hasStopped) return;
    const read = agreed === undefined ? undefined : this.#read(agreed);
    const isAgreed = agreed !== undefined && read?.ok === true;
    this.#agreed = isAgreed ? { value: read.value, version: agreed.version, at: agreed.at } : undefined;
    // Said by everybody who knows it, so that it is not lost with whoever proposed it.
    if (isAgreed && this.#options.definition.sync !== 'strong') this.#options.entries.set(this.#hintKey, true);
    this.#options.onAgreed();
  }

  #read({ definition: { version, digest }, value }: Agreed): Checked<T> {
    const { definition } = this.#options;
    if (version > definition.version) return { ok: false, reason: 'of a later version' };
    if (version < definition.version) return migrated(definition, value, version);
    return digest === definition.digest ? definition.kind.check(value) : { ok: false, reason: 'defined differently' };
  }
}
