import { connectElectron } from "ionbus/electron-renderer";
import { startWindow } from "./window.js";

startWindow(connectElectron());
