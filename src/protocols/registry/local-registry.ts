/** The registry of a mesh of one process: the merged view with a single author. */
import type { AgentRecord } from '../../crdt/registry-record.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import { type RegistryDependencies, ViewRegistry } from './view-registry.ts';

export class LocalRegistry<Custom = Record<string, Value>> extends ViewRegistry<Custom> {
  readonly #self: NodeId;

  constructor(dependencies: RegistryDependencies<Custom>) {
    super(dependencies);
    this.#self = dependencies.self;
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.shutDown();
  }

  protected override write(record: AgentRecord): void {
    this.view.apply([{ record }]);
  }

  protected override erase(id: AgentId): void {
    this.view.apply([{ author: this.#self, id, record: undefined }]);
  }

  protected override isSuspect(): boolean {
    return false;
  }

  protected override rttMs(): undefined {
    return undefined;
  }

  /** All agents share one node, so it tells none of them from the others. */
  protected override freeCapacity(): Readonly<Record<string, number>> {
    return {};
  }
}
