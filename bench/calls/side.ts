/** What the sides of all systems share: the payload, the loops that measure, and the words to the parent. */

/** What the parent asks of a caller. */
export type ToCaller =
  | { readonly do: 'roundTrips'; readonly count: number }
  | { readonly do: 'inFlight'; readonly lanes: number; readonly forMs: number }
  | { readonly do: 'stream'; readonly items: number; readonly itemBytes: number }
  | { readonly do: 'local'; readonly forMs: number };

export type FromSide =
  | { readonly type: 'ready'; readonly address: string }
  | { readonly type: 'result'; readonly samples?: readonly number[]; readonly value?: number };

export const tell = (message: FromSide): void => void process.send?.(message);

/** About 100 bytes of state, as agents send it. */
export const payload = {
  id: 12_345,
  name: 'worker-17',
  tags: ['a', 'b', 'summarise'],
  ok: true,
  load: 0.75,
  note: 'queue 12, model small',
};

/** One system's way to do what is measured; what it has no notion of is left out. */
export interface Caller {
  call(): Promise<unknown>;
  /** Reads a stream of items and resolves with the bytes that came. */
  stream?(items: number, itemBytes: number): Promise<number>;
  /** A call to an agent in this process. */
  local?(): Promise<unknown>;
}

/** Answers the parent's wishes until it hangs up. */
export function serveParent(caller: Caller): void {
  process.on('message', (wish: ToCaller) => {
    grant(caller, wish).then(tell, (error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  process.on('disconnect', () => process.exit(0));
}

async function grant(caller: Caller, wish: ToCaller): Promise<FromSide> {
  switch (wish.do) {
    case 'roundTrips':
      return { type: 'result', samples: await roundTrips(caller, wish.count) };
    case 'inFlight':
      return { type: 'result', value: await perSecond(wish.lanes, wish.forMs, () => caller.call()) };
    case 'stream': {
      const begin = performance.now();
      const bytes = (await caller.stream?.(wish.items, wish.itemBytes)) ?? Number.NaN;
      return { type: 'result', value: bytes / 1e6 / ((performance.now() - begin) / 1e3) };
    }
    case 'local': {
      const perSec = await perSecond(
        1,
        wish.forMs,
        () => caller.local?.() ?? Promise.reject(new Error('no local call')),
      );
      return { type: 'result', value: 1e6 / perSec };
    }
  }
}

/** Microseconds of each call, one after the other. */
async function roundTrips(caller: Caller, count: number): Promise<number[]> {
  const samples: number[] = [];
  for (let call = 0; call < count; call++) {
    const begin = performance.now();
    await caller.call();
    samples.push((performance.now() - begin) * 1e3);
  }
  return samples;
}

async function perSecond(lanes: number, forMs: number, act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  let done = 0;
  // Reading the clock for each call would be a good part of the shortest ones.
  const lane = async (): Promise<void> => {
    do {
      for (let call = 0; call < 32; call++) await act();
      done += 32;
    } while (performance.now() - begin < forMs);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return done / ((performance.now() - begin) / 1e3);
}
