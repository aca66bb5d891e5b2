import { defineConfig } from "electron-vite";

export default defineConfig({
  main: {},
  preload: {
    // A sandboxed preload can load nothing but `electron`: ionbus has to be inside it, and it has to be CommonJS.
    build: {
      externalizeDeps: { exclude: ["ionbus"] },
      rollupOptions: { output: { format: "cjs" } },
    },
  },
  renderer: {},
});
