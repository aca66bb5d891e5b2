import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "js-shim",
    include: ["test/**/*.test.ts"],
    testTimeout: 10_000,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
