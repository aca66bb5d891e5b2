import { connectElectron } from "ionbus/electron-renderer";
import { Lab } from "../../../page/lab.js";

globalThis.lab = new Lab(connectElectron());
