import { defineConfig } from "vitest/config";

/** Tests that fail, for a test that looks at what is printed then. */
export default defineConfig({ test: { include: ["*.failing.ts"], root: import.meta.dirname } });
