/** Bounds of atoms; every replica must have the same, so they are constants. */

/** All keys and values of all maps, and their names, bytes; 64 for each besides. A quarter of the state a group moves by default. */
export const maxMapBytes = 64 * 1024 * 1024;
/** Names of all sequences, and of all counters, as UTF-8, bytes; 16 for each besides. */
export const maxNumberBytes = 12 * 1024 * 1024;
/** Numbers that one call reserves. */
export const maxReserved = 2 ** 32;
/** Entries of one page. */
export const maxPageEntries = 1_000;
/** Values and keys of one page, bytes; its first entry comes whatever its size. Well below an answer's bound. */
export const maxPageBytes = 64 * 1024;
