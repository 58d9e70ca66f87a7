import { createDefaultEsmPreset } from 'ts-jest';

const preset = createDefaultEsmPreset({
  tsconfig: 'tsconfig.json',
  diagnostics: false, // `npm run typecheck` checks all files once, faster and stricter
});

/** @param {string} name @param {object} more */
const project = (name, more = {}) => ({
  ...preset,
  displayName: name,
  testEnvironment: 'node',
  // TypeScript's imports name the file that will be there once compiled.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testMatch: [`<rootDir>/__tests__/${name}/**/*.test.ts`],
  ...more,
});

export default {
  // Only for what hangs: a busy machine takes its time, and some tests download a client first.
  testTimeout: 600_000,
  projects: [
    project('unit', {
      testMatch: [
        '<rootDir>/__tests__/unit/**/*.test.ts',
        '<rootDir>/__tests__/scenarios/**/*.test.ts',
      ],
    }),
    project('action'),
    project('bundle'),
    project('swarm', {
      globalSetup: '<rootDir>/__tests__/support/swarm-setup.mjs',
      globalTeardown: '<rootDir>/__tests__/support/swarm-teardown.mjs',
    }),
  ],
};
