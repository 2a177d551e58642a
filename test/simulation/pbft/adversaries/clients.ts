/** Clients that misbehave. Their key is their own, so what they sign is valid and what they say is not. */
import type { NodeId } from '../../../../src/node-id.ts';
import { encodeMessage, requestBody, requestBytes } from '../../../../src/protocols/pbft/encoding.ts';
import { bodyBytes, type Operation, type Request } from '../../../../src/protocols/pbft/messages.ts';
import type { World } from '../world.ts';

export interface BadClient {
  readonly world: World;
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly validators: readonly NodeId[];
  readonly groupId: Uint8Array;
  readonly submitted: (command: string) => void;
  readonly until: number;
}

/**
 * `flooder`: requests without end, for sessions it has and has not, far out of its window.
 * `twoFaced`: another content under the same number for every validator, and bad signatures for some.
 */
export function startBadClient(name: 'flooder' | 'twoFaced', client: BadClient): void {
  const { world, self, validators } = client;
  const { rng } = world;
  // The sessions first opened get the lowest ids, so a guess is often right.
  let number = 1;
  const operation = (text: string): Operation => ({ kind: 'commands', commands: [Buffer.from(text)] });
  const send = (to: NodeId, session: number, at: number, what: Operation, broken: boolean): void => {
    const content = {
      client: self,
      session,
      number: at,
      acknowledged: rng.float() < 0.5 ? at - 1 : 0,
      operation: what,
    };
    const body = requestBody(content);
    const signature = client.sign(bodyBytes(client.groupId, 'request', body));
    if (broken) signature[0] = (signature[0] as number) ^ 1;
    const request: Request = { type: 'request', ...content, signature, bytes: requestBytes(body, signature) };
    world.send(self, to, encodeMessage(request));
  };
  const act = (): void => {
    if (world.now > client.until) return;
    const session = 1 + rng.below(6);
    validators.forEach((to, index) => {
      if (rng.float() < 0.2) send(to, 0, name === 'flooder' ? 1 + rng.below(50) : 1, { kind: 'open' }, false);
      const at = name === 'flooder' && rng.float() < 0.5 ? number * 1_000 : number;
      const text = name === 'twoFaced' ? `bad${at}-${index}` : `bad${at}`;
      client.submitted(text);
      send(to, session, at, operation(rng.float() < 0.1 ? 'throw' : text), rng.float() < 0.1);
    });
    number++;
    world.after(5 + rng.float() * 30, act);
  };
  world.after(20, act);
}
