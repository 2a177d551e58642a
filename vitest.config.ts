import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Real meshes wait for each other most of the time, so a few more than there are cores.
    maxWorkers: 3,
  },
});
