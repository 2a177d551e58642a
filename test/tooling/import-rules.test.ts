/** The import rules are worth something only if they fail; each is shown a violation of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import extractDepcruiseConfig from 'dependency-cruiser/config-utl/extract-depcruise-config';
import { afterAll, describe, expect, it } from 'vitest';

const rules = await extractDepcruiseConfig(join(import.meta.dirname, '../../.dependency-cruiser.mjs'));

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Names of the rules broken by a project made of these files; `name` → what it imports. */
async function brokenRules(files: Record<string, readonly string[]>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-imports-'));
  folders.push(folder);
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  write('package.json', JSON.stringify({ name: 'planted', dependencies: { yjs: '*', libp2p: '*', commander: '*' } }));
  for (const name of ['yjs', 'libp2p', 'commander']) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'index.js' }));
    write(`node_modules/${name}/index.js`, 'exports.a = 1;');
  }
  for (const [name, imports] of Object.entries(files)) {
    write(
      name,
      `${imports.map((path, i) => `import type * as i${i} from '${path}';`).join('\n')}\nexport type A = 1;\n`,
    );
  }
  // Only the compiler settings are left out: they name this project's folders.
  const { tsConfig: _, ...options } = rules.options ?? {};
  const tops = [...new Set(Object.keys(files).map((name) => name.split('/')[0] as string))];
  const { output } = await cruise(tops, { ...options, baseDir: folder, ruleSet: rules, validate: true });
  return [...new Set((output as ICruiseResult).summary.violations.map((violation) => violation.rule.name))].sort();
}

describe('import rules', () => {
  it('accept the layers as drawn', async () => {
    const files = {
      'src/leaf.ts': [],
      'src/crdt/feed.ts': ['../leaf.ts', 'yjs'],
      'src/p2p/network.ts': ['../leaf.ts', 'libp2p'],
      'src/protocols/registry/registry.ts': ['../../crdt/feed.ts', '../../p2p/network.ts'],
      'src/mesh.ts': ['./protocols/registry/registry.ts'],
      'src/control/server.ts': ['../mesh.ts'],
      'src/index.ts': ['./mesh.ts', './control/server.ts'],
      'src/cli/main.ts': ['../index.ts', '../control/server.ts', 'commander'],
    };
    expect(await brokenRules(files)).toEqual([]);
  });

  it('refuse a cycle, of types too', async () => {
    const files = { 'src/crdt/a.ts': ['./b.ts'], 'src/crdt/b.ts': ['./a.ts'] };
    expect(await brokenRules(files)).toEqual(['no-cycles']);
  });

  it.each([
    ['leaves-know-nobody', 'src/leaf.ts', './crdt/other.ts', 'src/crdt/other.ts'],
    ['leaves-know-nobody', 'src/leaf.ts', './mesh.ts', 'src/mesh.ts'],
    ['crdt-is-pure', 'src/crdt/a.ts', '../p2p/other.ts', 'src/p2p/other.ts'],
    ['p2p-moves-bytes', 'src/p2p/a.ts', '../crdt/other.ts', 'src/crdt/other.ts'],
    ['p2p-moves-bytes', 'src/p2p/a.ts', '../protocols/x/x.ts', 'src/protocols/x/x.ts'],
    ['protocols-know-no-faces', 'src/protocols/x/a.ts', '../../mesh.ts', 'src/mesh.ts'],
    ['pbft-core-is-pure', 'src/protocols/pbft/a.ts', '../../p2p/other.ts', 'src/p2p/other.ts'],
    ['pbft-core-is-pure', 'src/protocols/pbft/a.ts', '../x/x.ts', 'src/protocols/x/x.ts'],
    ['mesh-knows-no-faces', 'src/mesh.ts', './control/a.ts', 'src/control/a.ts'],
    ['faces-use-the-public-api', 'src/cli/a.ts', '../protocols/x/x.ts', 'src/protocols/x/x.ts'],
    ['control-attaches-to-a-mesh', 'src/control/a.ts', '../p2p/a.ts', 'src/p2p/a.ts'],
    ['examples-use-the-package', 'examples/a.ts', '../src/mesh.ts', 'src/mesh.ts'],
    ['sources-ship-alone', 'src/a.ts', '../bench/a.ts', 'bench/a.ts'],
  ])('%s: %s may not import %s', async (name, from, to, target) => {
    expect(await brokenRules({ [from]: [to], [target]: [] })).toEqual([name]);
  });

  it.each([
    ['libp2p-only-in-p2p', 'src/protocols/a.ts', 'libp2p'],
    ['yjs-only-in-crdt', 'src/p2p/a.ts', 'yjs'],
    ['terminal-only-in-cli', 'src/mesh.ts', 'commander'],
    ['everything-resolves', 'src/mesh.ts', './nowhere.ts'],
  ])('%s: %s may not import %s', async (name, from, to) => {
    expect(await brokenRules({ [from]: [to] })).toEqual([name]);
  });
});
