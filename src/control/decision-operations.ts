/** Proposals and auctions, whose results are decided by others than this node and may be certified. */
import * as v from 'valibot';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import { checked, given, type Operation, text, timeoutSchema } from './operation.ts';

type Coordination = Mesh['coordination'];
type Decision = Awaited<ReturnType<Coordination['decision']>>;
type ProposeOptions = Parameters<Coordination['propose']>[0];
type AuctionOptions = Parameters<Coordination['auction']>[0];

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const proposeArgs = v.strictObject({ terms: v.looseObject({}), certificate: v.optional(v.boolean()) });
const voteArgs = v.strictObject({
  id: text,
  as: text,
  accept: v.boolean(),
  value: v.optional(v.any()),
  reason: v.optional(text),
});
const proposalsArgs = v.strictObject({ agent: v.optional(text), limit: v.optional(count) });
const decisionArgs = v.strictObject({ id: text, waitMs: timeoutSchema, certificate: v.optional(v.boolean()) });
const openArgs = v.strictObject({ terms: v.looseObject({}), timeoutMs: timeoutSchema });
const bidArgs = v.strictObject({ id: text, amount: v.number(), as: text, timeoutMs: timeoutSchema });
const auctionArgs = v.strictObject({ id: text, timeoutMs: timeoutSchema });
const resultArgs = v.strictObject({ id: text, timeoutMs: timeoutSchema, certificate: v.optional(v.boolean()) });
const listArgs = v.strictObject({ timeoutMs: timeoutSchema });

/** A decision without its method, with the certificate where it is wanted. */
async function plain(decision: Decision, wantsCertificate: boolean | undefined): Promise<Value> {
  const { certificate, ...decided } = decision;
  const proof = wantsCertificate ? { certificate: await certificate() } : {};
  return { ...decided, ...proof } as unknown as Value;
}

const proposalOperations: Readonly<Record<string, Operation>> = {
  propose: {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { terms, certificate } = checked(proposeArgs, args);
      // Checked by `propose` itself; a client that goes away withdraws what it proposed.
      return plain(await mesh.coordination.propose({ ...(terms as unknown as ProposeOptions), signal }), certificate);
    },
  },
  vote: {
    deadlineMs: 60_000,
    async run(mesh, args, { signal }) {
      const { id, ...ballot } = checked(voteArgs, args);
      const { as, accept, reason } = ballot;
      // No value is another vote than the value undefined.
      const value = Object.hasOwn(ballot, 'value') ? { value: ballot.value as Value } : {};
      await mesh.coordination.vote(id, { as, accept, ...value, ...given({ reason }), signal });
      return undefined;
    },
  },
  proposals: {
    deadlineMs: 60_000,
    async run(mesh, args, { signal }) {
      const { agent, limit } = checked(proposalsArgs, args);
      return (await mesh.coordination.openProposals({ ...given({ agent, limit }), signal })) as unknown as Value;
    },
  },
  decision: {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { id, waitMs, certificate } = checked(decisionArgs, args);
      return plain(await mesh.coordination.decision(id, { ...given({ waitMs }), signal }), certificate);
    },
  },
};

const auctionOperations: Readonly<Record<string, Operation>> = {
  'auction.open': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { terms, timeoutMs } = checked(openArgs, args);
      const options = { ...(terms as unknown as AuctionOptions), ...given({ timeoutMs }), signal };
      const auction = await mesh.coordination.auction(options);
      return { id: auction.id, terms: auction.terms } as unknown as Value;
    },
  },
  'auction.bid': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { id, amount, as, timeoutMs } = checked(bidArgs, args);
      const options = { ...given({ timeoutMs }), signal };
      const auction = await mesh.coordination.joinAuction(id, options);
      return (await auction.bid(amount, { as, ...options })) as unknown as Value;
    },
  },
  'auction.show': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { id, timeoutMs } = checked(auctionArgs, args);
      return (await mesh.coordination.inspectAuction(id, { ...given({ timeoutMs }), signal })) as unknown as Value;
    },
  },
  'auction.result': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { id, timeoutMs, certificate } = checked(resultArgs, args);
      const auction = await mesh.coordination.joinAuction(id, { signal });
      const result = await auction.result({ ...given({ timeoutMs }), signal });
      const proof = certificate ? { certificate: await auction.certificate({ signal }) } : {};
      return { id, ...result, ...proof } as unknown as Value;
    },
  },
  'auction.list': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { timeoutMs } = checked(listArgs, args);
      return (await mesh.coordination.openAuctions({ ...given({ timeoutMs }), signal })) as unknown as Value;
    },
  },
};

export const decisionOperations: Readonly<Record<string, Operation>> = { ...proposalOperations, ...auctionOperations };
