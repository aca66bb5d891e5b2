/** The page whose Python is killed (tests/trials/kill.py). A channel counts as stable soon, so that each death is a first one. */
import { connectElectron } from "ionbus/electron-renderer";
import { Lab } from "../page/lab.js";

globalThis.lab = new Lab(connectElectron({ limits: { stableMs: 100 } }));
