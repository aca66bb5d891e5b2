/** Which bus the components below use. */

import { createContext, createElement, type FunctionComponent, type ReactNode, useContext } from "react";
import type { Bus } from "../client/bus.js";

const BusContext = /*#__PURE__*/ createContext<Bus | undefined>(undefined);

export interface BusProviderProps {
  /** The bus. Who made it closes it; another one in its place is used from the next render on. */
  readonly bus: Bus;
  readonly children?: ReactNode;
}

/** Gives its children a bus. Another one inside it gives its own children another bus. */
export const BusProvider: FunctionComponent<BusProviderProps> = ({ bus, children }) =>
  createElement(BusContext.Provider, { value: bus }, children);

/** The bus of the nearest `BusProvider`. @throws Error there is none. */
export function useBus(): Bus {
  const bus = useContext(BusContext);
  if (bus === undefined) throw new Error("useBus: there is no <BusProvider bus={…}> around this component");
  return bus;
}
