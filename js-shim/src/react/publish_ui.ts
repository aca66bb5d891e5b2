/** Publishes what becomes of a part of the interface, as the contract `ui` has it (docs/packs.md). */

import {
  Component,
  createContext,
  createElement,
  type ErrorInfo,
  type HTMLAttributes,
  type ReactNode,
  type RefCallback,
  useCallback,
  useContext,
  useEffect,
} from "react";
import { useBus } from "./bus.js";
import { type ComponentLife, createComponentLife, followWindow } from "./component_life.js";
import { useKept, useNewest } from "./kept.js";

export interface PublishUiOptions {
  /** Told what could not be published: no right to it, for one. Default: it goes to the console. */
  readonly onRefused?: ((error: unknown) => void) | undefined;
}

const ParentContext = /*#__PURE__*/ createContext<string | null>(null);

/**
 * Publishes `ui` for the calling component: mounted, shown, hidden, updated, unmounted. The outermost one also tells of its
 * window: focus and visibility. The bus's contract `ui` has to be served; an error is told by `<PublishUi>` alone.
 *
 * @returns for the element whose sight and changes are told: `<section ref={usePublishUi("graph")}>`
 */
export function usePublishUi(name: string, options?: PublishUiOptions): RefCallback<Element> {
  return useLife(name, options)[1];
}

function useLife(name: string, { onRefused }: PublishUiOptions = {}): [ComponentLife, RefCallback<Element>] {
  const bus = useBus();
  const parentId = useContext(ParentContext);
  const report = useNewest(onRefused);
  const [life, told] = useKept(
    () => {
      const told = (publication: Promise<void>): void => {
        publication.catch((error: unknown) => {
          if (bus.state === "closed") return; // nobody is there to be told
          if (report.current === undefined) console.error(`ionbus: the component ${name}:`, error);
          else report.current(error);
        });
      };
      return [createComponentLife(bus, name, parentId, told), told] as const;
    },
    bus,
    name,
    parentId,
  );
  // StrictMode takes a component away and puts it back at once: that is no end.
  const presence = useKept(() => createPresence(life.mounted, life.unmounted), life);
  useEffect(() => presence.enter(), [presence]);
  useEffect(() => (parentId === null ? followWindow(bus, told) : undefined), [bus, parentId, told]);
  const follow = useCallback(
    (element: Element | null) => {
      if (element === null) return;
      presence.begin();
      return life.follow(element);
    },
    [life, presence],
  );
  return [life, useElement(follow)];
}

/** A ref whose function may return what ends it: React 19 calls that, React 18 calls the ref with null. */
function useElement(follow: (element: Element | null) => (() => void) | undefined): RefCallback<Element> {
  const followed = useKept(() => {
    let stop: (() => void) | undefined;
    return (element: Element | null): void => {
      stop?.();
      stop = element === null ? undefined : follow(element);
    };
  }, follow);
  return followed;
}

/** Tells that something began once, and that it is over when it has not begun again within the same turn. */
function createPresence(began: () => void, ended: () => void) {
  let count = 0;
  let isTold = false;
  const begin = (): void => {
    if (isTold) return;
    isTold = true;
    began();
  };
  return {
    begin,
    enter(): () => void {
      count += 1;
      begin();
      return () => {
        count -= 1;
        queueMicrotask(() => {
          if (count > 0 || !isTold) return;
          isTold = false;
          ended();
        });
      };
    },
  };
}

export interface PublishUiProps extends HTMLAttributes<HTMLDivElement>, PublishUiOptions {
  /** What the part is called. */
  readonly name: string;
  /** What is shown after an error in it. Without it the error goes on to the next boundary. */
  readonly fallback?: ReactNode | ((error: unknown, again: () => void) => ReactNode);
}

/**
 * Publishes `ui` for what is in it, and is an error boundary around it. It is a `<div>`, whose attributes it takes.
 *
 * ```ts
 * <PublishUi name="graph" className="canvas" fallback={<p>The graph is broken.</p>}><Graph /></PublishUi>
 * ```
 */
export function PublishUi({ name, fallback, onRefused, children, ...attributes }: PublishUiProps): ReactNode {
  const [life, ref] = useLife(name, { onRefused });
  const inside = createElement(ParentContext.Provider, { value: life.id }, children);
  const boundary = createElement(Boundary, { life, fallback }, inside);
  return createElement("div", { ...attributes, ref }, boundary);
}

interface BoundaryProps {
  readonly life: ComponentLife;
  readonly fallback: PublishUiProps["fallback"];
  readonly children?: ReactNode;
}

interface BoundaryState {
  readonly failed?: { readonly error: unknown } | undefined;
  /** It was told; without a fallback it may go on. */
  readonly isTold?: boolean;
}

class Boundary extends Component<BoundaryProps, BoundaryState> {
  override state: BoundaryState = {};

  static getDerivedStateFromError(error: unknown): BoundaryState {
    return { failed: { error } };
  }

  override componentDidCatch(error: unknown, { componentStack }: ErrorInfo): void {
    this.props.life.errored(error, componentStack ?? null);
    this.setState({ isTold: true });
  }

  override render(): ReactNode {
    const { failed, isTold } = this.state;
    const { fallback, children } = this.props;
    if (failed === undefined) return children;
    if (fallback === undefined) {
      if (isTold) throw failed.error;
      return null; // a boundary that throws at once is passed over, and would not be told of it
    }
    if (typeof fallback !== "function") return fallback;
    return fallback(failed.error, () => this.setState({ failed: undefined, isTold: false }));
  }
}
