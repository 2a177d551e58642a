/** Who wants to hear of which keys. */
import type { EntriesListener } from './shared-entries.ts';

export class EntryListeners {
  readonly #byKey = new Map<string, Set<EntriesListener>>();
  readonly #byPrefix = new Map<string, Set<EntriesListener>>();
  readonly #onError: (error: unknown, where: string) => void;

  constructor(onError: (error: unknown, where: string) => void) {
    this.#onError = onError;
  }

  onKey(key: string, listener: EntriesListener): () => void {
    return add(this.#byKey, key, listener);
  }

  onPrefix(prefix: string, listener: EntriesListener): () => void {
    return add(this.#byPrefix, prefix, listener);
  }

  tell(keys: Iterable<string>): void {
    for (const key of keys) {
      for (const listener of [...(this.#byKey.get(key) ?? [])]) this.#call(listener, key);
      for (const [prefix, listeners] of this.#byPrefix) {
        if (key.startsWith(prefix)) for (const listener of [...listeners]) this.#call(listener, key);
      }
    }
  }

  #call(listener: EntriesListener, key: string): void {
    try {
      listener(key);
    } catch (error) {
      this.#onError(error, `shared entry '${key}'`);
    }
  }
}

function add(listeners: Map<string, Set<EntriesListener>>, name: string, listener: EntriesListener): () => void {
  let set = listeners.get(name);
  if (set === undefined) {
    set = new Set();
    listeners.set(name, set);
  }
  set.add(listener);
  return () => {
    set.delete(listener);
    if (set.size === 0 && listeners.get(name) === set) listeners.delete(name);
  };
}
