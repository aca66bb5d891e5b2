/** `ionbus/react`: a bus in React 18 and later. React is the application's own, and is not in here. */

export { BusProvider, type BusProviderProps, useBus } from "./bus.js";
export { type Calling, type CallState, useCall, useHandler } from "./calls.js";
export { useConnectionState, useStateChange } from "./connection.js";
export { type Nothing, useEvent, useEventReducer, useLatest } from "./events.js";
export { PublishUi, type PublishUiOptions, type PublishUiProps, usePublishUi } from "./publish_ui.js";
export { type StreamOptions, type StreamState, useStream } from "./streams.js";
