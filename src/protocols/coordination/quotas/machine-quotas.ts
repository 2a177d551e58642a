/** Quotas over the coordination machine: one command each. */
import * as v from 'valibot';
import { understood } from '../atoms/answers.ts';
import type { OrderingOptions } from '../ordering.ts';
import { accepted } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import type { Quota, QuotaRequest, Quotas } from './quotas.ts';

const granted = v.tuple([v.pipe(v.number(), v.minValue(0)), v.pipe(v.number(), v.minValue(0))]);

export class MachineQuotas implements Quotas {
  readonly #client: CoordinationTools['client'];

  constructor({ client }: Pick<CoordinationTools, 'client'>) {
    this.#client = client;
  }

  async take({ limit, rate, capacity, want }: QuotaRequest, options?: OrderingOptions): Promise<Quota> {
    const answer = await this.#client.submit({ kind: 'quotas.take', limit, rate, capacity, want }, options);
    const value = accepted(answer, {
      CONFLICT: (data) =>
        `The limit '${limit}' is in use with ${data['rate']} per second and ${data['capacity']} at once, not ${rate} and ${capacity}. Use the same everywhere, or wait a minute after its last use.`,
      LIMIT_EXCEEDED: () => 'The validators keep no more limits; use fewer keys. Nothing was taken.',
    });
    const [tokens, retryAfterMs] = understood(granted, value);
    return { granted: Math.min(want, tokens), retryAfterMs };
  }
}
