/**
 * Locks, semaphores and elections, as one ordered state: a lock is a semaphore of one permit, an election a lock that says something
 * of its holder.
 *
 * Intuition: who asks gets a place in line, or the permits at once if nobody waits and enough are free. What is granted is granted
 * until an agreed time (a lease; Gray & Cheriton, SOSP 1989) and with a number from the log (a fencing token). Waiting, too, is until an agreed time,
 * which the waiter moves on by asking again under the same id; so the dead leave the line by themselves, and whoever does not
 * know whether a command arrived just repeats it.
 *
 * Invariants:
 *  - never more than `permits` are held of one name, and all who hold or wait agreed on what it is;
 *  - tokens rise strictly in the order of grants, over all names;
 *  - the first in line is granted as soon as what it wants is free, and nobody before it;
 *  - an id that has ended never waits or holds again, for as long as it is remembered;
 *  - only the node that made a claim can move or end it.
 */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import { type Claim, claimKey, EndedClaims, type Resource } from './claims.ts';
import {
  type AcquireCommand,
  type Ending,
  type GrantCommand,
  type GrantEvent,
  type GrantQuery,
  grantCommands,
  grantQueries,
  grantSorts,
  type LeaderState,
  maxListed,
  type Standing,
  topicOf,
} from './commands.ts';

/** Claims at once, waiting and holding, of all nodes and of one. Guess: far above honest use, a few tens of MB. */
const maxClaims = 50_000;
const maxClaimsPerNode = 4_096;

/**
 * A claim that waited and is granted holds for this long at most until it says that it knows (`grant.renew`): its
 * process may have died while it waited, and the next should not stand behind a dead one for the whole of a long lease.
 */
const unconfirmedLeaseMs = 10_000;

export class GrantReducer implements Reducer<GrantCommand, GrantQuery> {
  readonly name = 'grant';
  readonly commands = grantCommands;
  readonly queries = grantQueries;

  readonly #resources = new Map<string, Resource>();
  readonly #claims = new Map<string, Claim>();
  readonly #claimsOf = new Map<NodeId, number>();
  readonly #ended = new EndedClaims();
  /** The highest token this reducer has given. */
  #token = 0;

  apply(command: GrantCommand, context: ReducerContext): Answer {
    const node = context.client;
    if (node === undefined) return refused('NOT_PERMITTED', { reason: 'nobody asks' });
    this.#ended.forgetOld(context.time);
    switch (command.kind) {
      case 'grant.acquire':
        return this.#onAcquire(command, node, context);
      case 'grant.renew':
        return this.#onRenew(claimKey(node, command.id), command.token, context);
      case 'grant.release':
        return this.#onRelease(claimKey(node, command.id), command.token, context);
      case 'grant.withdraw':
        return this.#onWithdraw(command.id, node, context);
    }
  }

  query(query: GrantQuery): Answer {
    switch (query.kind) {
      case 'grant.standing':
        return done(this.#standing(claimKey(query.node, query.id)));
      case 'grant.inspect':
        return done(this.#inspect(query.name));
      case 'grant.leader':
        return done(this.#leader(query.name));
    }
  }

  expire(key: string, context: ReducerContext): void {
    const claim = this.#claims.get(key);
    if (claim !== undefined) this.#end(claim, 'expired', context);
  }

  /** Nothing here is settled for good: who holds now may not in a moment. */
  settled(): undefined {
    return undefined;
  }

  #onAcquire(command: AcquireCommand, node: NodeId, context: ReducerContext): Answer {
    const { name, id, sort, permits, count } = command;
    const wrong = wrongTerms(command);
    if (wrong !== undefined) return refused('INVALID_ARGUMENT', { reason: wrong });

    const key = claimKey(node, id);
    const known = this.#claims.get(key);
    if (known !== undefined) return this.#again(known, command, context);
    if (this.#ended.get(key) !== undefined) return done(this.#standing(key));

    const resource = this.#resources.get(name) ?? newResource(command);
    if (resource.sort !== sort || resource.permits !== permits) {
      const { sort: isSort, permits: has } = resource;
      return refused('ALREADY_EXISTS', { name, sort: isSort, permits: has, askedSort: sort, asked: permits });
    }
    const isFree = resource.waiters.size === 0 && resource.used + count <= permits;
    if (!isFree && command.waitMs === 0) return refused('TIMED_OUT', { name, ...holderOf(resource) });
    if ((this.#claimsOf.get(node) ?? 0) >= maxClaimsPerNode) {
      return refused('LIMIT_EXCEEDED', { name, limit: maxClaimsPerNode, of: 'node' });
    }
    if (this.#claims.size >= maxClaims) return refused('LIMIT_EXCEEDED', { name, limit: maxClaims, of: 'group' });

    const { leaseMs } = command;
    const value = command.value?.slice(); // Not the whole command for the sake of a few bytes of it.
    const claim: Claim = { key, node, id, name, count, leaseMs, value, token: 0, until: 0 };
    this.#resources.set(name, resource);
    this.#add(claim);
    if (isFree) {
      this.#grant(resource, claim, leaseMs, context);
      // Who was granted at once hears it in the answer; of a leader everybody may want to hear.
      if (sort === 'election') emitGranted(claim, context);
    } else {
      resource.waiters.set(key, claim);
      setUntil(claim, context.time + command.waitMs, context);
    }
    return done(this.#standing(key));
  }

  /** The same id again: the same answer, and a waiter shows that it lives. */
  #again(claim: Claim, { name, count, waitMs }: AcquireCommand, context: ReducerContext): Answer {
    if (claim.name !== name || claim.count !== count) {
      return refused('INVALID_ARGUMENT', { reason: 'this id is of another acquisition' });
    }
    if (claim.token === 0) setUntil(claim, Math.max(claim.until, context.time + waitMs), context);
    return done(this.#standing(claim.key));
  }

  #onRenew(key: string, token: number, context: ReducerContext): Answer {
    const claim = this.#claims.get(key);
    if (claim === undefined || claim.token !== token) return this.#notHeld(key, token);
    // A renewal never shortens: an unconfirmed lease may be longer than the one asked for.
    setUntil(claim, Math.max(claim.until, context.time + claim.leaseMs), context);
    return done({ leaseEndsAt: claim.until });
  }

  #onRelease(key: string, token: number, context: ReducerContext): Answer {
    const claim = this.#claims.get(key);
    if (claim === undefined || claim.token !== token) return this.#notHeld(key, token);
    this.#end(claim, 'released', context);
    return done();
  }

  #onWithdraw(id: string, node: NodeId, context: ReducerContext): Answer {
    const key = claimKey(node, id);
    const claim = this.#claims.get(key);
    if (claim !== undefined) this.#end(claim, 'withdrawn', context);
    else if (this.#ended.get(key) === undefined) this.#ended.add(key, node, 'withdrawn', context.time);
    return done();
  }

  #notHeld(key: string, token: number): Answer {
    const now = this.#standing(key);
    return refused('GRANT_LOST', { token, reason: now.state === 'ended' ? now.how : now.state });
  }

  #grant(resource: Resource, claim: Claim, leaseMs: number, context: ReducerContext): void {
    claim.token = context.nextToken();
    this.#token = claim.token;
    resource.used += claim.count;
    resource.holders.set(claim.key, claim);
    setUntil(claim, context.time + leaseMs, context);
  }

  #end(claim: Claim, how: Ending, context: ReducerContext): void {
    const resource = this.#resources.get(claim.name);
    if (resource === undefined) return; // A claim is always on something; the type does not know.
    this.#remove(resource, claim, how, context);
    if (how === 'expired') emit(claim.name, { type: 'expired', node: claim.node, id: claim.id }, context);
    this.#promote(resource, context);
    const isVacant = resource.sort === 'election' && claim.token !== 0 && resource.holders.size === 0;
    if (isVacant) emit(claim.name, { type: 'vacant', token: claim.token }, context);
    if (resource.holders.size === 0 && resource.waiters.size === 0) this.#resources.delete(resource.name);
  }

  /** Grants from the front of the line while what the first one wants is free. */
  #promote(resource: Resource, context: ReducerContext): void {
    for (const claim of resource.waiters.values()) {
      if (claim.until <= context.time) {
        // Its wait ended before now, only later in the order of deadlines: it must not be granted in between.
        this.#remove(resource, claim, 'expired', context);
        emit(claim.name, { type: 'expired', node: claim.node, id: claim.id }, context);
        continue;
      }
      if (resource.used + claim.count > resource.permits) return;
      resource.waiters.delete(claim.key);
      this.#grant(resource, claim, Math.min(claim.leaseMs, unconfirmedLeaseMs), context);
      emitGranted(claim, context);
    }
  }

  #add(claim: Claim): void {
    this.#claims.set(claim.key, claim);
    this.#claimsOf.set(claim.node, (this.#claimsOf.get(claim.node) ?? 0) + 1);
  }

  #remove(resource: Resource, claim: Claim, how: Ending, context: ReducerContext): void {
    context.schedule(claim.key, undefined);
    this.#claims.delete(claim.key);
    const left = (this.#claimsOf.get(claim.node) ?? 0) - 1;
    if (left > 0) this.#claimsOf.set(claim.node, left);
    else this.#claimsOf.delete(claim.node);
    if (resource.holders.delete(claim.key)) resource.used -= claim.count;
    resource.waiters.delete(claim.key);
    this.#ended.add(claim.key, claim.node, how, context.time);
  }

  #standing(key: string): Standing {
    const claim = this.#claims.get(key);
    if (claim === undefined) {
      const how = this.#ended.get(key);
      return how === undefined ? { state: 'unknown' } : { state: 'ended', how };
    }
    if (claim.token !== 0) return { state: 'granted', token: claim.token };
    const resource = this.#resources.get(claim.name);
    return { state: 'waiting', ...(resource === undefined ? {} : holderOf(resource)) };
  }

  #leader(name: string): LeaderState {
    const resource = this.#resources.get(name);
    const [claim] = resource?.sort === 'election' ? resource.holders.values() : [];
    if (claim?.value === undefined) return { token: this.#token };
    return { token: claim.token, leader: { node: claim.node, value: claim.value } };
  }

  #inspect(name: string): Value {
    const resource = this.#resources.get(name);
    if (resource === undefined) return undefined;
    const { sort, permits, used, holders, waiters } = resource;
    return {
      name,
      sort,
      permits,
      free: permits - used,
      holders: [...holders.values().take(maxListed)].map(({ node, token, count, until }) => {
        return { node, token, count, leaseEndsAt: until };
      }),
      waiters: [...waiters.values().take(maxListed)].map(({ node, count, until }) => {
        return { node, count, waitsUntil: until };
      }),
      waiting: waiters.size,
    };
  }

  snapshot(): Value {
    const byName = [...this.#resources.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return {
      token: this.#token,
      resources: byName.map(({ name, sort, permits, holders, waiters }) => {
        return [name, sort, permits, [...holders.values(), ...waiters.values()].map(frozenClaim)];
      }),
      ended: this.#ended.all(),
    };
  }

  restore(snapshot: Value): void {
    const state = v.parse(snapshotSchema, snapshot);
    this.#resources.clear();
    this.#claims.clear();
    this.#claimsOf.clear();
    this.#ended.clear();
    this.#token = state.token;
    for (const [name, sort, permits, claims] of state.resources) {
      const resource: Resource = { name, sort, permits, used: 0, holders: new Map(), waiters: new Map() };
      this.#resources.set(name, resource);
      for (const [text, id, count, leaseMs, value, token, until] of claims) {
        const node = text as NodeId; // Our own snapshot: it came from an authenticated client once.
        const claim: Claim = { key: claimKey(node, id), node, id, name, count, leaseMs, value, token, until };
        this.#add(claim);
        if (token === 0) resource.waiters.set(claim.key, claim);
        else {
          resource.holders.set(claim.key, claim);
          resource.used += count;
        }
      }
    }
    for (const [key, node, how, at] of state.ended) this.#ended.add(key, node as NodeId, how, at);
  }
}

const newResource = ({ name, sort, permits }: AcquireCommand): Resource => {
  return { name, sort, permits, used: 0, holders: new Map(), waiters: new Map() };
};

function wrongTerms({ sort, permits, count, value }: AcquireCommand): string | undefined {
  if (count > permits) return 'count is more than permits';
  if (sort !== 'semaphore' && permits !== 1) return `a ${sort} has one permit`;
  if ((sort === 'election') !== (value !== undefined)) return 'a value belongs to elections, and to all of them';
  return undefined;
}

/** The one that has held it longest, for messages. */
function holderOf(resource: Resource): { readonly holder?: { readonly node: NodeId; readonly token: number } } {
  const [first] = resource.holders.values();
  return first === undefined ? {} : { holder: { node: first.node, token: first.token } };
}

function setUntil(claim: Claim, until: number, context: ReducerContext): void {
  claim.until = until;
  context.schedule(claim.key, until);
}

const emit = (name: string, event: GrantEvent, context: ReducerContext): void => context.emit(topicOf(name), event);

function emitGranted({ name, node, id, token, value }: Claim, context: ReducerContext): void {
  emit(name, { type: 'granted', node, id, token, ...(value === undefined ? {} : { value }) }, context);
}

const frozenClaim = ({ node, id, count, leaseMs, value, token, until }: Claim): Value => {
  return [node, id, count, leaseMs, value, token, until];
};

const snapshotSchema = v.strictObject({
  token: v.number(),
  resources: v.array(
    v.strictTuple([
      v.string(),
      v.picklist(grantSorts),
      v.number(),
      v.array(
        v.strictTuple([
          v.string(),
          v.string(),
          v.number(),
          v.number(),
          v.optional(v.custom<Uint8Array>((input) => input instanceof Uint8Array)),
          v.number(),
          v.number(),
        ]),
      ),
    ]),
  ),
  ended: v.array(v.strictTuple([v.string(), v.string(), v.picklist(['released', 'withdrawn', 'expired']), v.number()])),
});
