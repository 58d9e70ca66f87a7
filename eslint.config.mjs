import tseslint from 'typescript-eslint';

/** Modules that decide: plain values in, plain values out. Time and the world arrive as data. */
const pure = [
  'src/model.ts',
  'src/errors.ts',
  'src/duration.ts',
  'src/inputs.ts',
  'src/inputs/**/*.ts',
  'src/plan.ts',
  'src/compose/**/*.ts',
  'src/lint/**/*.ts',
  'src/transport/host-key.ts',
  'src/transport/key-inputs.ts',
  'src/transport/known-hosts.ts',
  'src/transport/quote.ts',
  'src/docker/cli.ts',
  'src/docker/well-formed.ts',
  'src/planning/canonical.ts',
  'src/planning/fields.ts',
  'src/planning/difference.ts',
  'src/ledger/content.ts',
  'src/ledger/lease-state.ts',
  'src/ledger/names.ts',
  'src/ledger/pinned.ts',
  'src/ledger/revision.ts',
  'src/ledger/run.ts',
  'src/rollout/causes.ts',
  'src/rollout/observe.ts',
  'src/rollout/classify.ts',
  'src/rollout/placement.ts',
  'src/rollout/goal.ts',
  'src/rollout/standing.ts',
  'src/rollout/departure.ts',
  'src/rollout/deadlock.ts',
  'src/rollout/stability.ts',
  'src/report/dossier.ts',
  'src/report/dossier-markdown.ts',
  'src/report/annotations.ts',
  'src/report/chart.ts',
  'src/report/dossier-facts.ts',
  'src/report/dossier-log.ts',
  'src/report/dossier-words.ts',
  'src/docker/log-stream.ts',
  'src/report/failure.ts',
  'src/report/next.ts',
  'src/report/progress.ts',
  'src/report/history.ts',
  'src/report/plan.ts',
  'src/report/render.ts',
  'src/report/services.ts',
  'src/report/stack.ts',
  'src/report/text.ts',
];

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'lib', 'coverage'] },
  {
    files: ['src/**/*.ts', '__tests__/**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/report/github.ts', 'src/transport/local.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['@actions/*'] }],
    },
  },
  {
    files: pure,
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: ['@actions/*'],
          paths: [
            ...['fs', 'http', 'https', 'child_process', 'timers', 'os'].flatMap((name) => [
              { name, message: 'A pure module: take the value as a parameter.' },
              { name: `node:${name}`, message: 'A pure module: take the value as a parameter.' },
            ]),
            { name: 'net', message: 'A pure module: take the value as a parameter.' },
            { name: 'node:net', allowImportNames: ['isIP'], message: 'A pure module: no sockets.' },
          ],
        },
      ],
      'no-restricted-globals': ['error', 'process', 'setTimeout', 'setInterval', 'fetch'],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'A pure module: time arrives as data.' },
        { object: 'Math', property: 'random', message: 'A pure module.' },
      ],
    },
  },
  {
    files: ['__tests__/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
);
