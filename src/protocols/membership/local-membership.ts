/** Membership of a mesh of one process: this node, always alive. */
import type { NodeId } from '../../node-id.ts';
import type { Accusation, Member, MemberInfo, Membership } from './membership.ts';

export class LocalMembership implements Membership {
  readonly self: NodeId;
  #member: Member;

  constructor(self: NodeId, info: MemberInfo) {
    this.self = self;
    this.#member = Object.freeze({ ...info, id: self, state: 'alive', since: info.startedAt, rttMs: 0 });
  }

  get(id: NodeId): Member | undefined {
    return id === this.self ? this.#member : undefined;
  }

  members(): readonly Member[] {
    return [this.#member];
  }

  /** Changes what this node says of its free resources. */
  announce({ capacity }: Pick<MemberInfo, 'capacity'>): void {
    this.#member = Object.freeze({ ...this.#member, capacity });
  }

  accusations(): readonly Accusation[] {
    return [];
  }

  heardFrom(): void {
    // Nobody else exists.
  }

  /** No state ever changes, so no listener is ever called. */
  on(): () => void {
    return () => undefined;
  }
}
