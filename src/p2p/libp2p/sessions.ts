/**
 * All connections of a node, by peer: which are admitted, which of two is kept, and who is connected.
 *
 * Two nodes that dial each other at once get two connections. Both ends keep the one that the node with
 * the lower id dialled, so they never drop one each. Where both were admitted already, the lower id closes
 * the other one as soon as no channel lives on it.
 */
import type { Connection } from '@libp2p/interface';
import type { NodeId } from '../../node-id.ts';
import { duplicate, type Rival, sameBytes } from '../handshake.ts';
import { Session, type SessionPort } from './session.ts';

export interface SessionsPort extends Omit<SessionPort, 'rival' | 'onAdmitted'> {
  readonly self: NodeId;
  /** `first` when the peer was not connected before. */
  onAdmitted(session: Session, first: boolean): void;
  /** An admitted connection is gone; `last` when no other with the peer is left. */
  onGone(session: Session, last: boolean): void;
}

export class Sessions {
  readonly #port: SessionsPort;
  readonly #byConnection = new Map<Connection, Session>();
  readonly #byPeer = new Map<NodeId, Set<Session>>();
  /** Peers that `onAdmitted` announced and `onGone` has not. */
  readonly #connected = new Set<NodeId>();

  constructor(port: SessionsPort) {
    this.#port = port;
  }

  get all(): readonly Session[] {
    return [...this.#byConnection.values()];
  }

  get connected(): readonly NodeId[] {
    return [...this.#connected];
  }

  isConnected(peer: NodeId): boolean {
    return this.#connected.has(peer);
  }

  of(connection: Connection): Session | undefined {
    return this.#byConnection.get(connection);
  }

  ofPeer(peer: NodeId): readonly Session[] {
    return [...(this.#byPeer.get(peer) ?? [])];
  }

  /** The connection to use with a peer. */
  live(peer: NodeId): Session | undefined {
    let found: Session | undefined;
    for (const session of this.#byPeer.get(peer) ?? []) {
      if (session.admitted && (found === undefined || this.#preferred(session))) found = session;
    }
    return found;
  }

  add(connection: Connection): Session {
    const peer = connection.remotePeer.toString() as NodeId;
    const session = new Session(connection, peer, {
      ...this.#port,
      rival: (asking) => this.#rivalOf(asking),
      onAdmitted: (admitted) => this.#onAdmitted(admitted),
    });
    this.#byConnection.set(connection, session);
    let sessions = this.#byPeer.get(peer);
    if (sessions === undefined) {
      sessions = new Set();
      this.#byPeer.set(peer, sessions);
    }
    sessions.add(session);
    return session;
  }

  remove(connection: Connection): void {
    const session = this.#byConnection.get(connection);
    if (session === undefined) return;
    const { peer } = session;
    const wasAdmitted = session.admission.admitted;
    this.#byConnection.delete(connection);
    const others = this.#byPeer.get(peer);
    others?.delete(session);
    if (others?.size === 0) this.#byPeer.delete(peer);
    session.onClosed();
    if (!wasAdmitted) return;
    const last = this.#connected.has(peer) && ![...(others ?? [])].some((other) => other.admission.admitted);
    if (last) this.#connected.delete(peer);
    this.#port.onGone(session, last);
  }

  #onAdmitted(session: Session): void {
    const first = !this.#connected.has(session.peer);
    this.#connected.add(session.peer);
    this.#port.onAdmitted(session, first);
    if (!first) this.#closeSpare(session);
  }

  #closeSpare(session: Session): void {
    if (this.#port.self > session.peer || !this.#preferred(session)) return;
    for (const other of this.ofPeer(session.peer)) {
      const spare = other !== session && other.admitted && !this.#preferred(other) && other.channels.size === 0;
      if (spare) void other.close();
    }
  }

  #rivalOf(session: Session): { readonly rival: Rival; readonly session: Session } | undefined {
    for (const other of this.ofPeer(session.peer)) {
      const theirs = other.admission.theirs;
      const mine = session.admission.theirs;
      if (other === session || !other.greeted || theirs === undefined || mine === undefined) continue;
      const preferred =
        this.#preferred(session) === this.#preferred(other) ? 'neither' : this.#preferred(session) ? 'this' : 'rival';
      // The other end decides alike, because it sees the same two connections.
      const twin = sameBytes(theirs.instance, mine.instance);
      if (twin && preferred === 'this' && !other.admission.settled) other.admission.refuse(duplicate);
      return { session: other, rival: { instance: theirs.instance, admitted: other.admitted, preferred } };
    }
    return undefined;
  }

  /** Dialled by the node with the lower id. */
  #preferred(session: Session): boolean {
    return session.outbound === this.#port.self < session.peer;
  }
}
