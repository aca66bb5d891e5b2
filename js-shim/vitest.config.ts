import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "js-shim",
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/all_values.ts"],
    testTimeout: 10_000,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
