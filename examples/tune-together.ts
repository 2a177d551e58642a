// Four workers tune one number together: each tries values near the shared one and contributes the best it has found, with how well that did; the
// shared value is the average weighted by performance. Nobody knows the optimum, 0.62; together they find it. Draws the way there, and saves it as SVG:
//
//   node --conditions=quorate-source examples/tune-together.ts [tuning.svg]
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createMesh, type Mesh, type Variable } from 'quorate';

const optimum = 0.62;
const rounds = 40;
const [role, ...addresses] = process.argv.slice(2);

const define = (mesh: Mesh): Variable<number> =>
  mesh.variables.float('temperature', { min: 0, max: 2, default: 1.8, resolve: 'weightedAverageByPerformance' });

/** Stands for a real job: how good the answers are at this temperature, 0 to 1, measured with noise. */
function quality(temperature: number): number {
  const noise = (Math.random() - 0.5) * 0.05;
  return Math.min(1, Math.max(0, Math.exp(-(((temperature - optimum) / 0.6) ** 2)) + noise));
}

if (role === 'worker') {
  await using mesh = await createMesh({ mode: 'cluster', bootstrap: addresses });
  const temperature = define(mesh);
  await once(process, 'message'); // all are there
  let best = { value: temperature.value, quality: 0 };
  for (let round = 0; round < rounds; round++) {
    const reach = 0.5 * 0.95 ** round; // explores less and less
    const value = temperature.value + (Math.random() * 2 - 1) * reach;
    await pause(25); // the job itself
    const trial = { value, quality: quality(value) };
    if (trial.quality < best.quality) continue;
    best = trial;
    await temperature.set(best.value);
    temperature.report(best.quality);
  }
  process.send?.('done');
  await once(process, 'disconnect');
} else {
  await using mesh = await createMesh({ mode: 'cluster' });
  const temperature = define(mesh);
  const points: { readonly ms: number; readonly value: number }[] = [];
  const workers = [1, 2, 3, 4].map(() => fork(import.meta.filename, ['worker', ...mesh.status().addresses]));
  while (mesh.membership.members().filter(({ state }) => state === 'alive').length < 5) await pause(10);
  const started = performance.now();
  const stop = new AbortController();
  const watching = (async () => {
    for await (const { value } of temperature.watch({ signal: stop.signal })) {
      points.push({ ms: performance.now() - started, value });
    }
  })();
  for (const worker of workers) worker.send('go');
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  stop.abort();
  await watching;

  const last = points.at(-1)?.value ?? Number.NaN;
  console.log(draw(points));
  const file = role ?? join(tmpdir(), 'quorate-tuning.svg');
  await writeFile(file, svg(points));
  console.log(
    `\n${points.length} changes; from 1.8 to ${last.toFixed(3)}, the optimum is ${optimum}. Saved as ${file}`,
  );
  console.log(temperature.explain().summary);
  assert.ok(Math.abs(last - optimum) < 0.2, `converged to ${last}`);
  for (const worker of workers) worker.disconnect();
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

type Points = readonly { readonly ms: number; readonly value: number }[];

/** Sixteen lines of text, time from left to right; `-` is the optimum. */
function draw(points: Points): string {
  const [width, height] = [72, 16];
  const end = points.at(-1)?.ms ?? 1;
  const rows = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '));
  const rowOf = (value: number): number =>
    Math.min(height - 1, Math.max(0, Math.round((1 - value / 2) * (height - 1))));
  rows[rowOf(optimum)]?.fill('-');
  for (const { ms, value } of points) {
    const row = rows[rowOf(value)] as string[];
    row[Math.min(width - 1, Math.floor((ms / end) * width))] = '●';
  }
  const label = (row: number): string => (2 * (1 - row / (height - 1))).toFixed(2);
  return rows.map((row, at) => `${label(at)} │${row.join('')}`).join('\n');
}

function svg(points: Points): string {
  const [width, height] = [640, 320];
  const end = points.at(-1)?.ms ?? 1;
  const y = (value: number): string => (height - (value / 2) * height).toFixed(1);
  const path = points.map(({ ms, value }) => `${((ms / end) * width).toFixed(1)},${y(value)}`).join(' ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
  <rect width="${width}" height="${height}" fill="white"/>
  <line x1="0" x2="${width}" y1="${y(optimum)}" y2="${y(optimum)}" stroke="gray" stroke-dasharray="4"/>
  <text x="4" y="${Number(y(optimum)) - 4}" fill="gray">optimum ${optimum}</text>
  <polyline fill="none" stroke="royalblue" stroke-width="1.5" points="${path}"/>
  <text x="4" y="14">temperature, resolved over four workers, ${Math.round(end)} ms</text>
</svg>
`;
}
