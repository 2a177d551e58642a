/**
 * Which seeds a simulation runs with: the first few in `npm test`, as many as asked for in
 * `npm run soak -- --seeds N --first M`. A failure names its seed; `--first SEED --seeds 1` repeats it.
 */
export function seeds(usually: number): number[] {
  const count = Number(process.env['QUORATE_SEEDS'] ?? usually);
  const first = Number(process.env['QUORATE_FIRST_SEED'] ?? 1);
  return Array.from({ length: count }, (_, i) => first + i);
}
