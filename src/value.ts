/** What may travel: the structured values that every message, reply and stored entry is made of. */
export type Value =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | readonly Value[]
  | ReadonlyMap<Value, Value>
  | { readonly [key: string]: Value };

/** The name of an agent: 1 to 256 bytes of UTF-8, unique in its mesh. */
export type AgentId = string;
