/** Coordination of a mesh: alone, or by a group of validators over the network. */
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isQuorateError, QuorateError } from '../errors.ts';
import type { Identity } from '../identity.ts';
import type { NodeId } from '../node-id.ts';
import type { Network } from '../p2p/network.ts';
import { codeOf, createWhole, replaceWhole, unusable } from '../p2p/whole-file.ts';
import { NetworkZoneLink } from '../protocols/coordination/barrier/network-zone-link.ts';
import { SelfZoneLink } from '../protocols/coordination/barrier/zone-link.ts';
import { localGroupId } from '../protocols/coordination/certificates/local-group.ts';
import { verifyCertificate } from '../protocols/coordination/certificates/verify.ts';
import type { OrderingStatus } from '../protocols/coordination/coordination.ts';
import type { GroupDefinition } from '../protocols/coordination/group/definition.ts';
import { type GroupEvent, type GroupMemory, GroupOrdering } from '../protocols/coordination/group/group-ordering.ts';
import { idOf } from '../protocols/coordination/group/learning.ts';
import { Promotion } from '../protocols/coordination/group/promotion.ts';
import { LocalOrdering } from '../protocols/coordination/local-ordering.ts';
import { MachineClient } from '../protocols/coordination/machine/machine-client.ts';
import { MeteredOrdering } from '../protocols/coordination/metered-ordering.ts';
import { RegistryNames } from '../protocols/coordination/names/registry-names.ts';
import {
  type CoordinationParts,
  coordinationOver,
  createMachine,
  type VerifySignature,
} from '../protocols/coordination/ordered-coordination.ts';
import type { Ordering } from '../protocols/coordination/ordering.ts';
import { asStateMachine } from '../protocols/coordination/state-machines/define.ts';
import { declareMachines } from '../protocols/coordination/state-machines/machine-handle.ts';
import type { AnyStateMachine } from '../protocols/coordination/state-machines/state-machines.ts';
import type { CoordinationTools } from '../protocols/coordination/tools.ts';
import { GroupValidators, LocalValidators } from '../protocols/coordination/validators.ts';
import type { Membership } from '../protocols/membership/membership.ts';
import { SignatureVerifier } from '../protocols/pbft/driver/verifier.ts';
import { createMemoryLog, logName, openFileLog, type WriteAheadLog } from '../protocols/pbft/driver/write-ahead-log.ts';
import { foundingGroup } from '../protocols/pbft/group.ts';
import { maxFaulty } from '../protocols/pbft/quorum.ts';
import type { ExclusiveNames } from '../protocols/registry/exclusive-names.ts';
import type { AgentId } from '../value.ts';
import type { Assembly } from './parts.ts';

type Locate = (agent: AgentId) => { readonly node: NodeId; readonly zone: string } | undefined;

function toolsFor<Custom>(
  { options, clock, rng, onError }: Assembly<Custom>,
  ordering: Ordering,
  identity: Identity,
  locate: Locate,
): CoordinationTools {
  return {
    self: identity.id,
    zone: options.zone,
    client: new MachineClient(ordering),
    clock,
    rng,
    timeoutMs: options.coordination.timeoutMs,
    locate,
    sign: (bytes) => identity.sign(bytes),
    onError,
  };
}

/** Reducers check signatures that participants made; what one replica has checked it need not check again. */
function verifyWith(verifier: SignatureVerifier): VerifySignature {
  return (signer, bytes, signature) => verifier.verify({ signer, bytes, signature });
}

export interface LocalCoordination extends CoordinationParts {
  readonly ordering: LocalOrdering;
  /** How long commands take. */
  readonly latency: Pick<MeteredOrdering, 'onLatency'>;
  readonly registryNames: ExclusiveNames;
}

export function localCoordination<Custom>(
  assembly: Assembly<Custom>,
  identity: Identity,
  locate: Locate,
): LocalCoordination {
  const verify = verifyWith(new SignatureVerifier());
  const ordering = new LocalOrdering({
    identity,
    machine: createMachine(verify, stateMachines(assembly)),
    clock: assembly.clock,
    onListenerError: assembly.onError,
  });
  const latency = new MeteredOrdering(ordering, assembly.clock);
  const tools = toolsFor(assembly, latency, identity, locate);
  const group = localGroupId(identity.id);
  const parts = coordinationOver(tools, {
    zone: {
      link: new SelfZoneLink(identity.id),
      check: (certificate) => verifyCertificate(certificate, { local: identity.id }),
    },
    validators: new LocalValidators(identity.id, group),
    status: () => ({
      group: Buffer.from(group).toString('hex'),
      validators: [identity.id],
      f: 0,
      epoch: 0,
      pending: 0,
      replica: undefined,
      failure: undefined,
    }),
  });
  void declare(tools, stateMachines(assembly));
  const alone = foundingGroup([identity.id], 0);
  const registryNames = new RegistryNames(parts.names, () => ({ id: group, epoch: 0, groupAt: () => alone }));
  return { ...parts, ordering, latency, registryNames };
}

export interface ClusterCoordination extends CoordinationParts {
  readonly ordering: GroupOrdering;
  readonly latency: Pick<MeteredOrdering, 'onLatency'>;
  readonly registryNames: ExclusiveNames;
}

/** To be called before the network starts; `ordering.start` comes after the mesh was joined. */
export function clusterCoordination<Custom>(
  assembly: Assembly<Custom>,
  parts: {
    readonly identity: Identity;
    readonly network: Network;
    readonly membership: Membership & { ensureConnected(peer: NodeId, signal?: AbortSignal): Promise<void> };
    readonly locate: Locate;
    readonly onMisbehaviour: (peer: NodeId, reason: string) => void;
    /** The group, or a later set of validators, is known from now on. */
    readonly onKnown: () => void;
  },
): ClusterCoordination {
  const { options, clock, onError } = assembly;
  const { identity, network, membership, locate, onMisbehaviour, onKnown } = parts;
  const verifier = new SignatureVerifier();
  const verify = verifyWith(verifier);
  const machines = stateMachines(assembly);
  const ordering = new GroupOrdering({
    identity,
    meshName: options.name,
    network,
    clock,
    verifier,
    ensureConnected: (peer, signal) => membership.ensureConnected(peer, signal),
    makeMachine: () => createMachine(verify, machines),
    openLog: (definition) => openLog(assembly, definition),
    memory: groupMemory(options.dataDir),
    validatedBefore: ({ id }) => hasValidated(options.dataDir, id),
    options: {
      founders: founders(assembly, identity.id),
      pinned: options.coordination.group,
      timeoutMs: options.coordination.timeoutMs,
      trustChanges: options.coordination.changes === 'trust',
    },
    onMisbehaviour,
    onListenerError: onError,
    log: (level, message, data) => options.logger[level](message, data),
    onEvent: (event) => {
      if (event.kind === 'learned' || event.kind === 'group') onKnown();
      // Whenever it becomes one: this node may not be among the validators yet when its replica starts.
      const validates = ordering.group?.validators.includes(identity.id) === true;
      if (validates && (event.kind === 'validating' || event.kind === 'group')) {
        void declare(tools, machines, stopping.signal);
      }
      tell(assembly, event);
    },
  });
  const zonePeers = (): NodeId[] =>
    membership
      .members()
      .filter(({ id, zone, state }) => id !== identity.id && zone === options.zone && state === 'alive')
      .map(({ id }) => id);
  const latency = new MeteredOrdering(ordering, clock);
  const tools = toolsFor(assembly, latency, identity, locate);
  const coordination = coordinationOver(tools, {
    zone: {
      link: new NetworkZoneLink(network, clock, zonePeers, (peer) => membership.ensureConnected(peer)),
      check: (certificate) => verifyCertificate(certificate, trustOf(ordering)),
    },
    validators: new GroupValidators(ordering),
    status: () => statusOf(ordering),
  });
  // A member that others found unreachable does not order anything either.
  membership.on('change', ({ member }) => {
    if (member.state === 'unreachable' || member.state === 'left') ordering.validator?.unreachable(member.id);
  });
  const stopping = new AbortController();
  const promotion = promote(assembly, ordering, membership);
  const registryNames = new RegistryNames(coordination.names, () => {
    const { definition, group } = ordering;
    if (definition === undefined || group === undefined) return undefined;
    return { id: definition.id, epoch: group.epoch, groupAt: (epoch) => ordering.groupAt(epoch) };
  });
  return {
    ...coordination,
    ordering,
    latency,
    registryNames,
    async stop() {
      promotion?.stop();
      stopping.abort(new QuorateError('STOPPED', 'This mesh has stopped.'));
      await coordination.stop();
    },
  };
}

/** Throws `INVALID_OPTIONS` for what `defineStateMachine` did not make. */
function stateMachines<Custom>({ options }: Assembly<Custom>): readonly AnyStateMachine[] {
  return options.coordination.machines.map(asStateMachine);
}

/** Says which state machines this validator has the code for; they become active when all have said so. */
async function declare(
  tools: CoordinationTools,
  machines: readonly AnyStateMachine[],
  signal?: AbortSignal,
): Promise<void> {
  if (machines.length === 0) return;
  try {
    await declareMachines(tools, machines, signal);
  } catch (error) {
    // Not to be waited for: the mesh has stopped, or this node is a validator no more.
    const expected = isQuorateError(error, 'STOPPED') || isQuorateError(error, 'NOT_PERMITTED');
    if (!expected) tools.onError(error, 'declaring state machines');
  }
}

/** The role by which a member offers to become a validator. */
const validatorRole = 'validator';

function promote<Custom>(
  { options, clock, onError }: Assembly<Custom>,
  ordering: GroupOrdering,
  membership: Membership,
): Promotion | undefined {
  const { promoteUpTo } = options.coordination;
  if (promoteUpTo === 0) return undefined;
  return new Promotion({
    clock,
    upTo: promoteUpTo,
    onError,
    candidates: () =>
      membership
        .members()
        .filter(({ state, roles }) => state === 'alive' && roles.includes(validatorRole))
        .map(({ id, startedAt, since }) => ({ id, startedAt, aliveMs: clock.wallNow() - since })),
    leading: () => {
      const { validator } = ordering;
      const leads = validator?.status().primary === ordering.self && validator.status().active;
      return leads && validator.nextGroup === undefined ? validator.group : undefined;
    },
    propose: (validators, f) => ordering.reconfigure(validators, f),
  });
}

function founders<Custom>(
  { options }: Assembly<Custom>,
  self: NodeId,
): { readonly validators: readonly NodeId[]; readonly f: number } | undefined {
  const { validators, f } = options.coordination;
  if (validators === undefined) return undefined;
  const ids = validators.map((id) => (id === 'self' ? self : id));
  if (ids.includes(self) && options.coordination.durable && options.dataDir === undefined) throw noDirectory();
  return { validators: ids, f: f ?? maxFaulty(ids.length) };
}

function noDirectory(): QuorateError {
  const problem =
    'a validator keeps what it promised on disk: set dataDir, or coordination.durable to false if this group may forget everything';
  return new QuorateError('INVALID_OPTIONS', `createMesh was given options it cannot use:\n  dataDir: ${problem}`, {
    fields: { dataDir: problem },
  });
}

const logDirectory = 'validator';
const volatileMark = 'volatile';
const durableMark = 'started';
const memoryFile = 'validators';

/** The log of a validator. In memory it is given once only: a second process would contradict what the first has promised and forgotten. */
async function openLog<Custom>({ options }: Assembly<Custom>, { id }: GroupDefinition): Promise<WriteAheadLog> {
  const { dataDir, coordination } = options;
  if (coordination.durable) {
    if (dataDir === undefined) throw noDirectory();
    return openDurableLog(join(dataDir, logDirectory), id);
  }
  if (dataDir === undefined) return createMemoryLog();
  const directory = join(dataDir, logDirectory);
  const mark = join(directory, volatileMark);
  let first: boolean;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    first = await createWhole(mark, Buffer.from(id).toString('hex'));
  } catch (error) {
    throw unusable(directory, error);
  }
  if (first) return createMemoryLog();
  throw new QuorateError(
    'VALIDATOR_FAILED',
    `This validator kept its promises in memory only, and an earlier process of it has run: it has forgotten them and must not vote again. Replace it by a node with another key (\`validators.replace\`), or found groups with coordination.durable true. (${mark})`,
    { reason: 'forgotten', file: mark },
  );
}

/** A log that is gone would look like a fresh start, so a mark beside it says that there was one. */
async function openDurableLog(directory: string, group: Uint8Array): Promise<WriteAheadLog> {
  const mark = join(directory, durableMark);
  const file = join(directory, logName);
  if ((await exists(mark)) && !(await exists(file))) {
    throw new QuorateError(
      'VALIDATOR_FAILED',
      `The log of this validator is gone: ${file}. Without it the validator could contradict what it has promised. Put the file back, or replace the validator by a node with another key (\`validators.replace\`).`,
      { reason: 'log-missing', file },
    );
  }
  const log = await openFileLog(directory, group);
  try {
    await createWhole(mark, Buffer.from(group).toString('hex'));
  } catch (error) {
    await log.close();
    throw unusable(directory, error);
  }
  return log;
}

/** Whether a validator of this group has written its log here. */
async function hasValidated(dataDir: string | undefined, group: Uint8Array): Promise<boolean> {
  if (dataDir === undefined) return false;
  try {
    const mark = await readFile(join(dataDir, logDirectory, durableMark), 'latin1');
    return mark === Buffer.from(group).toString('hex');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw unusable(dataDir, error);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw unusable(path, error);
  }
}

function groupMemory(dataDir: string | undefined): GroupMemory {
  if (dataDir === undefined) return { load: async () => undefined, save: async () => undefined };
  const file = join(dataDir, memoryFile);
  return {
    async load() {
      try {
        return Buffer.from(await readFile(file, 'latin1'), 'hex');
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw unusable(dataDir, error);
      }
    },
    save: (definition) => replaceWhole(file, Buffer.from(definition).toString('hex')),
  };
}

function trustOf({ definition }: GroupOrdering): Parameters<typeof verifyCertificate>[1] {
  if (definition === undefined) throw new QuorateError('NO_VALIDATORS', 'No validators of this mesh are known yet.');
  const { name, founders: first, parameters } = definition;
  return { name, validators: first.validators, f: first.f, parameters };
}

function statusOf({ definition, group, pending, validator, failure }: GroupOrdering): OrderingStatus {
  const replica = validator?.status();
  return {
    group: definition === undefined ? undefined : idOf(definition),
    validators: group?.validators ?? [],
    f: group?.f ?? 0,
    epoch: group?.epoch ?? 0,
    pending,
    replica:
      replica === undefined
        ? undefined
        : {
            view: replica.view,
            primary: replica.primary,
            active: replica.active,
            executed: replica.executed,
            stable: replica.stable,
            logBytes: replica.logBytes,
          },
    failure: failure?.message,
  };
}

function tell<Custom>({ options, events }: Assembly<Custom>, event: GroupEvent): void {
  const { logger } = options;
  if (event.kind === 'failed') {
    logger.error(event.error.message, { code: event.error.code, ...event.error.data });
    events.emit('validatorFailed', { error: event.error });
  } else if (event.kind === 'group') {
    logger.info('The validators of this mesh have changed.', {
      epoch: event.group.epoch,
      validators: event.group.validators,
    });
    events.emit('validators', { epoch: event.group.epoch, validators: event.group.validators, f: event.group.f });
  } else if (event.kind === 'replica' && event.event.kind === 'evidence') {
    const { offender, kind } = event.event.evidence;
    logger.error(
      `Validator ${offender} signed two contradicting ${kind} messages: it lies, or two processes have its key.`,
    );
    events.emit('equivocation', { node: offender, kind });
  } else if (event.kind === 'replica' && event.event.kind === 'diverged') {
    logger.error(
      'This validator computed another state than a quorum, and takes theirs; look for non-determinism in its state machines.',
      {
        seq: event.event.seq,
      },
    );
  }
}
