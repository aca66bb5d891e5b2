import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "e2e",
    include: ["{electron,browser,node,lessons}/**/*.test.ts"],
    globalSetup: ["support/build_page.ts"],
    // Each test starts windows and processes of its own; side by side they would only measure one another.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
