/**
 * Who may import whom (ARCHITECTURE.md draws it):
 *
 *   leaves  ←  crdt, p2p  ←  protocols  ←  composition, mesh.ts  ←  control  ←  index.ts  ←  cli
 *
 * Imports of types count like any other: a layer that knows another's types knows the layer.
 * `test/tooling/import-rules.test.ts` plants violations and sees each of these rules fail.
 *
 * @type {import('dependency-cruiser').IConfiguration}
 */
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

/** Files directly in src/ are leaves, but for the three that put things together. */
const leaf = '^src/(?!mesh\\.ts$|index\\.ts$|conformance\\.ts$)[^/]+\\.ts$';
const layers = (...names) => `^src/(${names.join('|')})/`;
/** Public faces of the package; nothing below them may know them. */
const top = '^src/(mesh|index|conformance)\\.ts$';

export default {
  forbidden: [
    rule('no-cycles', 'Two files that need each other are one file, or hide a third.', {}, { circular: true }),
    rule(
      'leaves-know-nobody',
      'Leaves are what everybody else stands on.',
      { path: leaf },
      { path: [layers('crdt', 'p2p', 'protocols', 'composition', 'control', 'cli'), top] },
    ),
    rule(
      'crdt-is-pure',
      'Feeds and views know neither network nor protocols.',
      { path: layers('crdt') },
      { path: [layers('p2p', 'protocols', 'composition', 'control', 'cli'), top] },
    ),
    rule(
      'p2p-moves-bytes',
      'The network knows no agent, no feed and no proposal.',
      { path: layers('p2p') },
      { path: [layers('crdt', 'protocols', 'composition', 'control', 'cli'), top] },
    ),
    rule(
      'protocols-know-no-faces',
      'Protocols are composed by mesh.ts and shown by the faces, never the other way round.',
      { path: layers('protocols') },
      { path: [layers('composition', 'control', 'cli'), top] },
    ),
    rule(
      'pbft-core-is-pure',
      'The agreement protocol is a state machine: no feed, no network, no other protocol.',
      { path: '^src/protocols/pbft/', pathNot: '^src/protocols/pbft/driver/' },
      {
        path: [
          layers('crdt', 'p2p', 'composition', 'control', 'cli'),
          '^src/protocols/(?!pbft/)',
          '^src/protocols/pbft/driver/',
          top,
        ],
      },
    ),
    rule(
      'pbft-driver-knows-no-application',
      'The driver runs the core on disk and network, whatever is agreed on.',
      { path: '^src/protocols/pbft/driver/' },
      { path: [layers('crdt', 'composition', 'control', 'cli'), '^src/protocols/(?!pbft/)', top] },
    ),
    rule(
      'mesh-knows-no-faces',
      'The composition root must work without a command line.',
      { path: '^src/(mesh\\.ts$|composition/)' },
      { path: [layers('control', 'cli'), '^src/(index|conformance)\\.ts$'] },
    ),
    rule(
      'faces-use-the-public-api',
      'What the command line needs, an application may need as well.',
      { path: layers('cli') },
      { path: [layers('crdt', 'p2p', 'protocols', 'composition'), '^src/mesh\\.ts$'] },
    ),
    rule(
      'control-attaches-to-a-mesh',
      'The control socket serves a finished mesh; it reaches nothing behind it.',
      { path: layers('control') },
      { path: [layers('crdt', 'p2p', 'protocols', 'composition', 'cli'), '^src/(index|conformance)\\.ts$'] },
    ),
    rule(
      'libp2p-only-in-p2p',
      'Everything above talks to the Network interface.',
      { path: '^src/', pathNot: '^src/p2p/' },
      { path: 'node_modules/(libp2p|@libp2p|@chainsafe|it-[a-z-]+)/' },
    ),
    rule(
      'yjs-only-in-crdt',
      'Everything above talks to the Feeds interface.',
      { path: '^src/', pathNot: '^src/crdt/' },
      { path: 'node_modules/(yjs|lib0)/' },
    ),
    rule(
      'terminal-only-in-cli',
      'A library neither parses arguments nor colours text.',
      { path: '^src/', pathNot: layers('cli') },
      { path: 'node_modules/(commander|picocolors)/' },
    ),
    rule(
      'examples-use-the-package',
      'An example must work when copied into another project.',
      { path: '^examples/' },
      { path: ['^src/(?!index\\.ts$|conformance\\.ts$)', '^(test|bench|scripts)/'] },
    ),
    rule(
      'sources-ship-alone',
      'src/ is what is published; nothing beside it is there at run time.',
      { path: '^src/' },
      { path: '^(test|bench|examples|scripts)/' },
    ),
    rule(
      'no-dev-dependencies-at-run-time',
      'Users do not install them.',
      { path: '^src/' },
      { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: 'node_modules/@types/' },
    ),
    rule(
      'everything-resolves',
      'An import that leads nowhere. The peers of benchmarks are installed apart (CONTRIBUTING.md).',
      {},
      { couldNotResolve: true, pathNot: '^(y-websocket|ws|moleculer|rate-limiter-flexible)$' },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['quorate-source', 'import', 'node', 'types', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.d.ts'],
    },
  },
};
