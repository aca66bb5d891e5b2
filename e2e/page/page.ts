/** The page of the tests: in Electron over what the preload gives, in a browser where the test says. */
import { connect } from "ionbus";
import { connectElectron } from "ionbus/electron-renderer";
import { Lab } from "./lab.js";

declare global {
  /** Set by a test before the page runs: where to connect to, in a browser. */
  var endpoint: { url: string; token: string } | undefined;
}

globalThis.lab = new Lab(globalThis.endpoint ? connect(globalThis.endpoint) : connectElectron());
