/**
 * The names of this node: one session, one lease, one timer.
 *
 * Invariants: what `held` says is true only while the session's lease is not over by this process's clocks, which is before it is over
 * for the validators; a name that the validators hold for this node without its knowing (a claim whose outcome was unknown, a release that
 * failed) is found by the count that each renewal answers, and given back.
 */
import * as v from 'valibot';
import type { Timer } from '../../../clock.ts';
import { type ErrorData, isQuorateError, QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { grantLost, type LossReason, understood } from '../grants/grant-errors.ts';
import { isOver, type Lease, leaseFromNow } from '../grants/lease.ts';
import { mayPass, pause, pauseMs } from '../grants/pause.ts';
import { maxNameLength } from '../machine/limits.ts';
import type { Answer } from '../machine/reducer.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';
import { accepted } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import type { NameClaim, NameOwner, Names } from './names.ts';

/** Default lease of a node's names, milliseconds: longer than a restart, as `membership.removeAfterMs`; a guess. */
const defaultLeaseMs = 30_000;
/** What agreed time may jump when another primary takes over: as far as validators let clocks differ (`maxClockSkewMs`). */
const clockJumpMs = 5_000;

interface Session {
  readonly number: number;
  lease: Lease;
}

class HeldName implements NameClaim {
  readonly id: AgentId;
  readonly token: number;
  readonly #check: () => void;
  readonly #ended = new AbortController();

  constructor(id: AgentId, token: number, check: () => void) {
    this.id = id;
    this.token = token;
    this.#check = check;
  }

  get held(): boolean {
    this.#check();
    return !this.#ended.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  end(reason: LossReason): void {
    this.#ended.abort(grantLost(this.id, this.token, reason));
  }
}

/** How long giving back may hold up a mesh that stops, milliseconds; the lease does it otherwise. */
const closeMs = 1_000;

export class NameClaims implements Names {
  readonly #tools: CoordinationTools;
  readonly #leaseMs: number;
  readonly #held = new Map<AgentId, HeldName>();
  /** Being claimed or released; what the validators hold of them is open. */
  readonly #open = new Set<AgentId>();
  #nonce: string;
  #attempts = 0;
  #session: Session | undefined;
  #timer: Timer | undefined;
  #failedRenewals = 0;
  #stopped = false;

  constructor(tools: CoordinationTools, { leaseMs = defaultLeaseMs }: { readonly leaseMs?: number } = {}) {
    this.#tools = tools;
    this.#leaseMs = leaseMs;
    this.#nonce = this.#newNonce();
  }

  async claim(id: AgentId, options: OrderingOptions = {}): Promise<NameClaim> {
    this.#requireRunning();
    if (id.length === 0 || id.length > maxNameLength || !id.isWellFormed()) {
      throw new QuorateError('INVALID_ARGUMENT', `A name has 1 to ${maxNameLength} well-formed characters.`);
    }
    this.#checkLease();
    const held = this.#held.get(id);
    if (held !== undefined || this.#open.has(id)) {
      throw taken({ id, node: this.#tools.self, ...(held && { token: held.token }) });
    }
    this.#open.add(id);
    try {
      return await this.#claimWithin(id, options);
    } finally {
      this.#open.delete(id);
    }
  }

  async release(id: AgentId, options: OrderingOptions = {}): Promise<boolean> {
    this.#checkLease();
    const held = this.#held.get(id);
    const session = this.#session;
    if (held === undefined || session === undefined) return false;
    this.#held.delete(id);
    held.end('released');
    this.#open.add(id);
    try {
      const answer = await this.#submitRelease(session, id, held.token, options);
      return answer.ok && answer.value === true;
    } finally {
      this.#open.delete(id);
    }
  }

  async owner(
    id: AgentId,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<NameOwner | undefined> {
    return understood(ownerSchema, accepted(await this.#tools.client.query({ kind: 'names.owner', id }, options), {}));
  }

  certify(id: AgentId, token: number, options?: OrderingOptions): Promise<Certificate> {
    return this.#tools.client.certify({ kind: 'names.grant', id, token }, options);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const session = this.#session;
    this.#lose('stopped');
    if (session !== undefined) await this.#close(session);
  }

  #submitRelease(session: Session, id: AgentId, token: number, options: OrderingOptions): Promise<Answer> {
    return this.#tools.client.submit({ kind: 'names.release', session: session.number, id, token }, options);
  }

  /** Tries until the time is over: a claim repeated within a session is granted once. */
  async #claimWithin(id: AgentId, options: OrderingOptions): Promise<NameClaim> {
    const { clock } = this.#tools;
    const number = ++this.#attempts;
    const until = clock.now() + (options.timeoutMs ?? this.#tools.timeoutMs);
    for (let attempt = 0; ; attempt++) {
      const within = { signal: options.signal, timeoutMs: Math.max(1, until - clock.now()) };
      try {
        const claim = await this.#claimOnce({ id, attempt: number }, within);
        if (claim !== undefined) return claim;
      } catch (error) {
        if (!isQuorateError(error, 'UNKNOWN_OUTCOME') || clock.now() + pauseMs(attempt) >= until) throw error;
      }
      // Either the outcome is unknown, or the session ended meanwhile and there is another to open.
      await pause(clock, pauseMs(attempt), options.signal);
      this.#requireRunning();
      if (clock.now() >= until) throw unknownOutcome(id);
    }
  }

  /** Undefined when the session was over: another is to be opened. */
  async #claimOnce(
    wanted: { readonly id: AgentId; readonly attempt: number },
    options: OrderingOptions,
  ): Promise<NameClaim | undefined> {
    const session = await this.#openSession(options);
    const command = { kind: 'names.claim', session: session.number, ...wanted };
    const answer = await this.#tools.client.submit(command, options);
    this.#requireRunning();
    this.#checkLease();
    if (session !== this.#session) return undefined;
    if (!answer.ok && answer.code === 'NOT_FOUND') {
      this.#lose('unknown');
      return undefined;
    }
    const claim = new HeldName(wanted.id, tokenOf(answer), () => this.#checkLease());
    this.#held.set(claim.id, claim);
    return claim;
  }

  /** Those who open at once open the same: the nonce says so. */
  async #openSession(options: OrderingOptions): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    const nonce = this.#nonce;
    const lease = this.#leaseFromNow();
    const answer = await this.#tools.client.submit({ kind: 'names.open', nonce, leaseMs: this.#leaseMs }, options);
    this.#requireRunning();
    const number = understood(whole, accepted(answer, { LIMIT_EXCEEDED: tooMany }));
    if (this.#session === undefined && nonce === this.#nonce) {
      this.#session = { number, lease };
      this.#wakeIn(this.#leaseMs / 3);
    }
    return this.#session ?? { number, lease };
  }

  #leaseFromNow(): Lease {
    return leaseFromNow(this.#tools.clock, this.#leaseMs - Math.min(clockJumpMs, this.#leaseMs / 3));
  }

  #checkLease(): void {
    if (this.#session !== undefined && isOver(this.#session.lease, this.#tools.clock)) this.#lose('lease-ended');
  }

  /** Everything is lost; the next claim opens another session, which ends this one for the validators as well. */
  #lose(reason: LossReason): void {
    this.#session = undefined;
    this.#nonce = this.#newNonce();
    this.#timer?.cancel();
    const lost = [...this.#held.values()];
    this.#held.clear();
    for (const name of lost) name.end(reason);
  }

  #newNonce(): string {
    return Buffer.from(this.#tools.rng.bytes(16)).toString('hex');
  }

  #requireRunning(): void {
    if (this.#stopped) throw new QuorateError('STOPPED', 'This mesh has stopped; create another.');
  }

  #wakeIn(ms: number): void {
    const { clock } = this.#tools;
    const leftMs = (this.#session?.lease.endsAt ?? 0) - clock.now();
    this.#timer?.cancel();
    this.#timer = clock.after(Math.max(1, Math.min(ms, leftMs)), () => void this.#wake());
  }

  /** Renews, or sees that it is too late. */
  async #wake(): Promise<void> {
    this.#checkLease();
    const session = this.#session;
    if (session === undefined) return;
    if (this.#held.size === 0 && this.#open.size === 0) {
      this.#lose('released');
      await this.#close(session);
      return;
    }
    // Should the answer not come, the timer sees the end of the lease.
    this.#wakeIn(this.#leaseMs);
    const lease = this.#leaseFromNow();
    try {
      const options = { timeoutMs: this.#leaseMs / 3 };
      const answer = await this.#tools.client.submit({ kind: 'names.renew', session: session.number }, options);
      this.#checkLease();
      if (session !== this.#session) return;
      if (!answer.ok) return this.#lose('unknown');
      session.lease = lease;
      this.#failedRenewals = 0;
      this.#wakeIn(this.#leaseMs / 3);
      if (answer.value !== this.#held.size && this.#open.size === 0) await this.#reconcile(session);
    } catch (error) {
      this.#onFailedRenewal(session, error);
    }
  }

  #onFailedRenewal(session: Session, error: unknown): void {
    this.#checkLease();
    if (session !== this.#session) return;
    if (isQuorateError(error, 'STOPPED')) {
      this.#lose('stopped');
      return;
    }
    if (!mayPass(error)) this.#tools.onError(error, 'renewing the names of this node');
    this.#wakeIn(pauseMs(this.#failedRenewals++));
  }

  /** The validators hold more for this node than it knows, or less. */
  async #reconcile(session: Session): Promise<void> {
    const known = [...this.#held.values()];
    const listed = await this.#listed(session);
    if (session !== this.#session) return;
    for (const name of known) {
      if (listed.get(name.id) === name.token || this.#held.get(name.id) !== name) continue;
      this.#held.delete(name.id);
      name.end('unknown');
    }
    for (const [id, token] of listed) {
      if (session !== this.#session) return;
      if (this.#held.get(id)?.token !== token && !this.#open.has(id)) await this.#submitRelease(session, id, token, {});
    }
  }

  async #listed(session: Session): Promise<Map<AgentId, number>> {
    const listed = new Map<AgentId, number>();
    let after: string | undefined;
    do {
      const where = after === undefined ? {} : { after };
      const answer = await this.#tools.client.query({ kind: 'names.held', session: session.number, ...where });
      const page = understood(pageSchema, accepted(answer, {}));
      for (const [id, token] of page.names) listed.set(id, token);
      after = page.next;
    } while (after !== undefined);
    return listed;
  }

  async #close(session: Session): Promise<void> {
    try {
      await this.#tools.client.submit({ kind: 'names.close', session: session.number }, { timeoutMs: closeMs });
    } catch (error) {
      // The lease frees what could not be given back.
      if (!mayPass(error) && !isQuorateError(error, 'STOPPED')) this.#tools.onError(error, 'giving back names');
    }
  }
}

const whole = v.pipe(v.number(), v.safeInteger());
const pageSchema = v.object({ names: v.array(v.tuple([v.string(), whole])), next: v.optional(v.string()) });
const ownerSchema = v.optional(
  v.object({ node: v.custom<NodeId>((node) => typeof node === 'string'), token: whole, grantedAt: whole }),
);

function tokenOf(answer: Answer): number {
  if (!answer.ok && answer.code === 'ALREADY_REGISTERED') throw taken(answer.data);
  return understood(whole, accepted(answer, { LIMIT_EXCEEDED: tooMany }));
}

const taken = (data: ErrorData): QuorateError =>
  new QuorateError(
    'ALREADY_REGISTERED',
    `'${String(data['id'])}' belongs to node ${String(data['node'])}; choose another id, or wait until it is released.`,
    data,
  );
const tooMany = ({ limit, what }: ErrorData): string =>
  `No more than ${String(limit)} names are kept for ${what === 'node' ? 'one node' : 'the whole mesh'}; release some.`;
const unknownOutcome = (id: AgentId): QuorateError =>
  new QuorateError(
    'UNKNOWN_OUTCOME',
    `Whether '${id}' was granted is not known; if so, it is given back by itself. Ask owner().`,
    { id },
  );
