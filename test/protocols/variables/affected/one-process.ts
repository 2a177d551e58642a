/** Real registry and messaging of one process on virtual time, and an audience over them. */
import { seededRng } from '../../../../src/clock.ts';
import { HybridClock } from '../../../../src/hlc.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { SimulatedWorld } from '../../../../src/p2p/simulated/world.ts';
import { LocalMessaging } from '../../../../src/protocols/messaging/local.ts';
import type { CallContext } from '../../../../src/protocols/messaging/messaging.ts';
import { LocalRegistry } from '../../../../src/protocols/registry/local-registry.ts';
import type { Registration } from '../../../../src/protocols/registry/registry.ts';
import { AgentAudiences } from '../../../../src/protocols/variables/affected/agent-audiences.ts';
import type { AudienceOptions, News } from '../../../../src/protocols/variables/affected/audiences.ts';
import type { VariableNotice } from '../../../../src/protocols/variables/variables.ts';

const self = 'me' as NodeId;

export class OneProcess {
  readonly world = new SimulatedWorld({ seed: 1 });
  readonly errors: string[] = [];
  readonly registry: LocalRegistry;
  readonly messaging: LocalMessaging;
  readonly audiences: AgentAudiences;
  definers: readonly NodeId[] = [self];
  present: News | undefined = { value: 0, agreed: false };

  constructor() {
    const { clock } = this.world;
    const hlc = new HybridClock(() => clock.wallNow());
    const onError = (error: unknown, where: string): void => {
      this.errors.push(`${where}: ${error instanceof Error ? error.message : String(error)}`);
    };
    this.registry = new LocalRegistry({
      self,
      zone: 'here',
      hlc,
      rng: seededRng(1),
      maxAgents: 1_000,
      onListenerError: onError,
    });
    this.messaging = new LocalMessaging({
      self,
      registry: this.registry,
      handlers: this.registry.handlers,
      clock,
      rng: seededRng(2),
      limits: {},
      onError,
    });
    this.audiences = new AgentAudiences({
      self,
      registry: this.registry,
      messaging: this.messaging,
      clock,
      rng: seededRng(3),
      stamp: () => hlc.now(),
      onError,
    });
  }

  open(affects: AudienceOptions['affects']) {
    return this.audiences.open({
      name: 'temperature',
      affects,
      definers: () => this.definers,
      present: () => this.present,
    });
  }

  /** An agent that notes what it is told, and answers as `answer` says. */
  async agent(
    id: string,
    answer: (notice: VariableNotice, context: CallContext) => unknown = () => undefined,
    method = 'variableChanged',
  ): Promise<{ readonly told: VariableNotice[]; readonly registration: Registration }> {
    const told: VariableNotice[] = [];
    const handler = {
      [method]: (notice: VariableNotice, context: CallContext) => {
        told.push(notice);
        return answer(notice, context);
      },
    };
    const registration = await this.registry.register(id, handler, { capabilities: ['llm'] });
    return { told, registration };
  }
}

export const values = (notices: readonly VariableNotice[]) => notices.map(({ value }) => value);
