/** Addresses as people type them: multiaddrs, or the shorter `4700`, `127.0.0.1:4700`, `[::1]:4700`. */

/** Leaves alone what it does not know; `createMesh` checks all of it and names what is wrong. */
export function asMultiaddr(typed: string): string {
  if (/^\d{1,5}$/.test(typed)) return `/ip4/127.0.0.1/tcp/${typed}`;
  const v4 = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})$/.exec(typed);
  if (v4 !== null) return `/ip4/${v4[1]}/tcp/${v4[2]}`;
  const v6 = /^\[([0-9a-fA-F:]+)\]:(\d{1,5})$/.exec(typed);
  if (v6 !== null) return `/ip6/${v6[1]}/tcp/${v6[2]}`;
  const host = /^([a-zA-Z0-9.-]+):(\d{1,5})$/.exec(typed);
  return host === null ? typed : `/dns4/${host[1]}/tcp/${host[2]}`;
}
