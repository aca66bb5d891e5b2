import type { Bus, EventDescriptor, Some, Source } from "ionbus";
import { Observable } from "rxjs";

export const observe = <Name extends string, Payload, Sent, By extends Source>(
  bus: Bus,
  event: EventDescriptor<Name, Payload, Sent, By>,
  some?: Some<Payload>,
): Observable<Payload> =>
  new Observable((observer) => bus.on(event, (payload) => observer.next(payload), some));
