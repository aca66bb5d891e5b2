/** `ionbus/packs/workflow`: the life of a flow's run and of its nodes (docs/packs.md). */
export * from "./generated/workflow.js";
