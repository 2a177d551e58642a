/**
 * Who has which name.
 *
 * Intuition: a node opens a session and claims names under it; the session has the lease (Chubby's and ZooKeeper's sessions, Burrows
 * OSDI 2006 section 2.8). A process that comes back with the same key opens another session, which ends the one before: nothing that the dead
 * process had under way can be taken for the word of the living one.
 *
 * Invariants: a name has one owner; tokens of a name rise from owner to owner; a node has one session; the names of a session are free
 * from the moment its lease is over in agreed time; a claim that is sent again gets the same token.
 */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { maxNameLength, maxThings } from '../machine/limits.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';

/** Names of one node. As many as agents by default (`registry.maxAgentsPerNode`). */
export const maxNamesPerNode = 10_000;
/** Nodes that have names at once. */
const maxSessions = 10_000;
const maxPage = 256;

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const session = whole;

const nameCommand = v.variant('kind', [
  v.strictObject({
    kind: v.literal('names.open'),
    nonce: v.pipe(v.string(), v.maxLength(64)),
    leaseMs: v.pipe(whole, v.minValue(100), v.maxValue(86_400_000)),
  }),
  v.strictObject({ kind: v.literal('names.renew'), session }),
  /** `attempt` rises with every claim of the session; one that is sent again keeps its number. */
  v.strictObject({ kind: v.literal('names.claim'), session, id, attempt: whole }),
  v.strictObject({ kind: v.literal('names.release'), session, id, token: whole }),
  v.strictObject({ kind: v.literal('names.close'), session }),
]);
const nameQuery = v.variant('kind', [
  v.strictObject({ kind: v.literal('names.owner'), id }),
  /** The names of a session, in the order of the ids. */
  v.strictObject({ kind: v.literal('names.held'), session, after: v.optional(id) }),
  /** That the name was granted with this token: never changes, and is known while it is held. */
  v.strictObject({ kind: v.literal('names.grant'), id, token: whole }),
]);
const nameSnapshot = v.array(
  v.strictObject({
    session,
    node: v.custom<NodeId>((node) => typeof node === 'string'),
    nonce: v.string(),
    leaseMs: whole,
    until: whole,
    /** Id, token, agreed time, attempt. */
    names: v.array(v.strictTuple([id, whole, whole, whole])),
  }),
);

export type NameCommand = v.InferOutput<typeof nameCommand>;
export type NameQuery = v.InferOutput<typeof nameQuery>;

type Claim = NameCommand & { kind: 'names.claim' };
type Release = NameCommand & { kind: 'names.release' };

interface Session {
  readonly number: number;
  readonly node: NodeId;
  readonly nonce: string;
  readonly leaseMs: number;
  until: number;
  readonly names: Set<string>;
}

interface Grant {
  readonly session: Session;
  readonly token: number;
  readonly grantedAt: number;
  readonly attempt: number;
}

export class NamesReducer implements Reducer<NameCommand, NameQuery> {
  readonly name = 'names';
  readonly commands = nameCommand;
  readonly queries = nameQuery;
  readonly #sessions = new Map<number, Session>();
  readonly #ofNode = new Map<NodeId, Session>();
  readonly #grants = new Map<string, Grant>();

  apply(command: NameCommand, context: ReducerContext): Answer {
    const { client } = context;
    if (client === undefined) return refused('NOT_PERMITTED', { reason: 'nobody asks' });
    if (command.kind === 'names.open') return this.#open(command, client, context);
    const session = this.#sessions.get(command.session);
    if (session?.node !== client) return refused('NOT_FOUND', { session: command.session });
    switch (command.kind) {
      case 'names.renew':
        this.#renew(session, context);
        return done(session.names.size);
      case 'names.claim':
        return this.#claim(session, command, context);
      case 'names.release':
        return done(this.#release(session, command));
      case 'names.close':
        this.#end(session, context);
        return done();
    }
  }

  query(query: NameQuery): Answer {
    if (query.kind === 'names.held') return this.#held(query);
    const grant = this.#grants.get(query.id);
    if (query.kind === 'names.grant') return done(this.settled(query));
    return done(grant && { node: grant.session.node, token: grant.token, grantedAt: grant.grantedAt });
  }

  expire(key: string, context: ReducerContext): void {
    const session = this.#sessions.get(Number(key));
    if (session !== undefined) this.#end(session, context);
  }

  settled(query: NameQuery): Value | undefined {
    if (query.kind !== 'names.grant') return undefined;
    const grant = this.#grants.get(query.id);
    if (grant?.token !== query.token) return undefined;
    return { id: query.id, node: grant.session.node, token: grant.token, grantedAt: grant.grantedAt };
  }

  snapshot(): Value {
    return [...this.#sessions.values()]
      .sort((a, b) => a.number - b.number)
      .map(({ number, node, nonce, leaseMs, until, names }) => ({
        session: number,
        node,
        nonce,
        leaseMs,
        until,
        names: [...names].sort().map((one) => {
          const { token, grantedAt, attempt } = this.#grants.get(one) as Grant;
          return [one, token, grantedAt, attempt];
        }),
      }));
  }

  restore(snapshot: Value): void {
    const sessions = v.parse(nameSnapshot, snapshot);
    this.#sessions.clear();
    this.#ofNode.clear();
    this.#grants.clear();
    for (const { session: number, names, ...rest } of sessions) {
      const session = { ...rest, number, names: new Set(names.map(([one]) => one)) };
      this.#sessions.set(number, session);
      this.#ofNode.set(session.node, session);
      for (const [one, token, grantedAt, attempt] of names) {
        this.#grants.set(one, { session, token, grantedAt, attempt });
      }
    }
  }

  #open(command: NameCommand & { kind: 'names.open' }, node: NodeId, context: ReducerContext): Answer {
    const before = this.#ofNode.get(node);
    if (before?.nonce === command.nonce) {
      this.#renew(before, context);
      return done(before.number);
    }
    if (before === undefined && this.#sessions.size >= maxSessions) {
      return refused('LIMIT_EXCEEDED', { limit: maxSessions, what: 'nodes' });
    }
    if (before !== undefined) this.#end(before, context);
    const { nonce, leaseMs } = command;
    const session: Session = { number: context.nextToken(), node, nonce, leaseMs, until: 0, names: new Set() };
    this.#sessions.set(session.number, session);
    this.#ofNode.set(node, session);
    this.#renew(session, context);
    return done(session.number);
  }

  #renew(session: Session, context: ReducerContext): void {
    session.until = context.time + session.leaseMs;
    context.schedule(String(session.number), session.until);
  }

  #claim(session: Session, { id: name, attempt }: Claim, context: ReducerContext): Answer {
    const owned = this.#grants.get(name);
    if (owned !== undefined && owned.session !== session) {
      return refused('ALREADY_REGISTERED', { id: name, node: owned.session.node, token: owned.token });
    }
    if (owned?.attempt === attempt) return done(owned.token);
    // One that was overtaken on the way: whoever sent it has given up on it.
    if (owned !== undefined && owned.attempt > attempt) return refused('CONFLICT', { id: name, attempt });
    if (owned === undefined && session.names.size >= maxNamesPerNode) {
      return refused('LIMIT_EXCEEDED', { limit: maxNamesPerNode, what: 'node' });
    }
    if (owned === undefined && this.#grants.size >= maxThings) {
      return refused('LIMIT_EXCEEDED', { limit: maxThings, what: 'mesh' });
    }
    const token = context.nextToken();
    this.#grants.set(name, { session, token, grantedAt: context.time, attempt });
    session.names.add(name);
    return done(token);
  }

  /** By its token: a release that was overtaken by another claim frees nothing. */
  #release(session: Session, { id: name, token }: Release): boolean {
    const owned = this.#grants.get(name);
    if (owned?.session !== session || owned.token !== token) return false;
    return session.names.delete(name) && this.#grants.delete(name);
  }

  #end(session: Session, context: ReducerContext): void {
    for (const name of session.names) this.#grants.delete(name);
    this.#sessions.delete(session.number);
    this.#ofNode.delete(session.node);
    context.schedule(String(session.number), undefined);
  }

  #held(query: NameQuery & { kind: 'names.held' }): Answer {
    const { after } = query;
    const names = [...(this.#sessions.get(query.session)?.names ?? [])].sort();
    const rest = after === undefined ? names : names.filter((name) => name > after);
    const page = rest.slice(0, maxPage);
    const listed = page.map((name) => [name, this.#grants.get(name)?.token]);
    return done({ names: listed, next: rest.length > maxPage ? page.at(-1) : undefined });
  }
}
