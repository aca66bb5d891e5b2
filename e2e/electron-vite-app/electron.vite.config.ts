import { defineConfig } from "electron-vite";

export default defineConfig({
  main: {},
  // A sandboxed preload can load nothing but `electron`: what it imports must be bundled into it.
  preload: { build: { externalizeDeps: { exclude: ["ionbus"] } } },
  renderer: {},
});
