/** `ionbus/packs/ui`: what becomes of components and windows, as clients publish it (docs/packs.md). */
export * from "./generated/ui.js";
