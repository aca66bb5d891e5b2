/** The life of one component, told as the contract `ui` has it (docs/packs.md). Knows the DOM and a bus, but not React. */

import type { Bus } from "../client/bus.js";
import { Ui } from "../packs/ui.js";
import { entropy } from "../platform.js";
import { now, startTimer, stopTimer } from "../time.js";
import { toHex } from "../wire/hex.js";
import { DateTime } from "../wire/times.js";

/** At most so often a component is told as updated. */
const UPDATES_EVERY_MS = 250;

/** Tells what becomes of a component. */
export interface ComponentLife {
  readonly id: string;
  mounted(): void;
  unmounted(): void;
  errored(error: unknown, stack: string | null): void;
  /** Tell when an element can be seen, and when something in it changes. @returns what ends it */
  follow(element: Element): () => void;
}

/** @param told is given each publication, for what becomes of it */
export function createComponentLife(
  bus: Bus,
  name: string,
  parentId: string | null,
  told: (publication: Promise<void>) => void,
): ComponentLife {
  const id = newId();
  let mountedAt = 0;
  let updates = 0;
  const about = () => ({ at: timeOfDay(), window_id: windowId(), component_id: id, name });

  return {
    id,
    mounted() {
      mountedAt = now();
      told(bus.emit(Ui.component.mounted, { ...about(), parent_id: parentId }));
    },
    unmounted() {
      told(bus.emit(Ui.component.unmounted, { ...about(), mounted_ms: now() - mountedAt }));
    },
    errored(error, stack) {
      const message = error instanceof Error ? error.message : String(error);
      told(bus.emit(Ui.component.errored, { ...about(), message, stack }));
    },
    follow(element) {
      const stops = [
        followSight(
          element,
          () => told(bus.emit(Ui.component.shown, about())),
          (visible_ms) => told(bus.emit(Ui.component.hidden, { ...about(), visible_ms })),
        ),
        followChanges(element, () => {
          updates += 1;
          told(bus.emit(Ui.component.updated, { ...about(), updates }));
        }),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

/** Tell when the page's window gets or loses the keyboard, and when its page can be seen. @returns what ends it */
export function followWindow(bus: Bus, told: (publication: Promise<void>) => void): () => void {
  const about = () => ({ at: timeOfDay(), window_id: windowId() });
  let isFocused: boolean | undefined;
  let isVisible: boolean | undefined;
  const tell = (): void => {
    if (isFocused !== document.hasFocus()) {
      isFocused = document.hasFocus();
      told(bus.emit(Ui.window.focus, { ...about(), is_focused: isFocused }));
    }
    if (isVisible !== isPageVisible()) {
      isVisible = isPageVisible();
      told(bus.emit(Ui.window.visibility, { ...about(), is_visible: isVisible }));
    }
  };
  tell();
  const stops = [
    listen(window, "focus", tell),
    listen(window, "blur", tell),
    listen(document, "visibilitychange", tell),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** An element can be seen while a part of it is in the view and its page is not hidden. */
function followSight(element: Element, shown: () => void, hidden: (visibleMs: number) => void): () => void {
  let isInView = false;
  let shownAt: number | undefined;
  const look = (): void => {
    const isSeen = isInView && isPageVisible();
    if (isSeen === (shownAt !== undefined)) return;
    const since = shownAt;
    shownAt = isSeen ? now() : undefined;
    if (since === undefined) shown();
    else hidden(now() - since);
  };
  const observer = new IntersectionObserver((entries) => {
    isInView = entries.at(-1)?.isIntersecting ?? isInView;
    look();
  });
  observer.observe(element);
  const stop = listen(document, "visibilitychange", look);
  return () => {
    observer.disconnect();
    stop();
    isInView = false;
    look();
  };
}

/** Call `changed` after the first change in an element, and at most once in a while after it. */
function followChanges(element: Element, changed: () => void): () => void {
  let timer: unknown;
  const observer = new MutationObserver(() => {
    timer ??= startTimer(() => {
      timer = undefined;
      changed();
    }, UPDATES_EVERY_MS);
  });
  observer.observe(element, { subtree: true, childList: true, characterData: true, attributes: true });
  return () => {
    observer.disconnect();
    stopTimer(timer);
  };
}

function isPageVisible(): boolean {
  return document.visibilityState === "visible";
}

function listen(target: EventTarget, type: string, listener: () => void): () => void {
  target.addEventListener(type, listener);
  return () => target.removeEventListener(type, listener);
}

function timeOfDay(): DateTime {
  return DateTime.from(new Date());
}

function newId(): string {
  return toHex(entropy(8));
}

let ownWindow: string | undefined;

/** This page's, from when it is first asked for until it is left. */
function windowId(): string {
  ownWindow ??= newId();
  return ownWindow;
}
