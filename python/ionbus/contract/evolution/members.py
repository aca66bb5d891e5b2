"""Two contracts, member by member."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ionbus.contract.evolution.changes import Change, Flow, Incomparable, Json, Rule
from ionbus.contract.evolution.payloads import Found, Walk

FLOWS: tuple[Flow, ...] = ("client", "broker")
_PROMISE = ("volatile", "latest", "session")
"""What is promised of an event's delivery, the least first."""


class Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old = old
        self._new = new
        if old["name"] != new["name"]:
            raise Incomparable(f"two contracts, {old['name']} and {new['name']}")
        self._name: str = new["name"]
        definitions: tuple[Json, Json] = (old["$defs"], new["$defs"])
        self._walks: Mapping[Flow, Walk] = {
            "client": Walk(*definitions),
            "broker": Walk(*reversed(definitions), is_maker_new=True),
        }

    def changes(self) -> Iterator[Change]:
        old, new = self._old, self._new
        for name in sorted({*old["members"], *new["members"]}):
            before, after = old["members"].get(name), new["members"].get(name)
            if before is None:
                yield self._change(name, "broker", Rule.MEMBER_ADDED, after["kind"])
            elif after is None:
                yield from self._removed(name, before)
            else:
                yield from self._member(name, before, after)
        for code in sorted(set(old["errors"]) & set(new["errors"])):
            for flow in self._flows_of(code):
                before, after = old["errors"][code], new["errors"][code]
                yield from self._payload(f"error {code}", "", flow, before, after)

    def _change(
        self, member: str, flow: Flow, rule: Rule, detail: str = "", *, is_breaking: bool = False
    ) -> Change:
        return Change(self._name, member, "", flow, rule, is_breaking, detail)

    def _removed(self, name: str, before: Json) -> Iterator[Change]:
        if before["kind"] == "event":
            if before["source"] != "broker":
                yield self._change(name, "client", Rule.CLIENT_EVENT_REMOVED, is_breaking=True)
            yield self._change(name, "broker", Rule.EVENT_REMOVED, is_breaking=True)
        elif before["served_by"] == "broker":
            yield self._change(name, "client", Rule.SERVED_REMOVED, before["kind"], is_breaking=True)
        else:
            yield self._change(name, "broker", Rule.HANDLED_REMOVED, before["kind"])

    def _member(self, name: str, before: Json, after: Json) -> Iterator[Change]:
        for trait, rule in (("kind", Rule.KIND_CHANGED), ("served_by", Rule.SERVED_BY_CHANGED)):
            if before.get(trait) != after.get(trait):
                detail = f"{before.get(trait)} before, {after.get(trait)} now"
                for flow in FLOWS:
                    yield self._change(name, flow, rule, detail, is_breaking=True)
                return
        if before["kind"] == "event":
            yield from self._event(name, before, after)
            if before["source"] != "broker":
                yield from self._payload(name, "payload", "client", before["payload"], after["payload"])
            # Events of clients go on to other clients, so they are read by old ones, too.
            yield from self._payload(name, "payload", "broker", before["payload"], after["payload"])
            return
        asks: Flow = "client" if before["served_by"] == "broker" else "broker"
        answers: Flow = "broker" if asks == "client" else "client"
        for code in sorted({*before["raises"]} ^ {*after["raises"]}):
            rule = Rule.ERROR_ADDED if code in after["raises"] else Rule.ERROR_REMOVED
            yield self._change(name, answers, rule, code)
        answer = "response" if before["kind"] == "call" else "item"
        yield from self._payload(name, "request", asks, before["request"], after["request"])
        yield from self._payload(name, answer, answers, before[answer], after[answer])

    def _event(self, name: str, before: Json, after: Json) -> Iterator[Change]:
        if before["source"] != after["source"]:
            taken = after["source"] == "broker"
            rule = Rule.SOURCE_TAKEN if taken else Rule.SOURCE_CHANGED
            detail = f"{before['source']} before, {after['source']} now"
            yield self._change(name, "client", rule, detail, is_breaking=taken)
        was, now = before["delivery"], after["delivery"]
        if was != now:
            weakened = _PROMISE.index(now) < _PROMISE.index(was)
            rule = Rule.DELIVERY_WEAKENED if weakened else Rule.DELIVERY_STRENGTHENED
            yield self._change(name, "broker", rule, f"{was} before, {now} now", is_breaking=weakened)
        elif was == "latest" and before["key"] != after["key"]:
            refined = set(before["key"]) <= set(after["key"])
            rule = Rule.KEY_REFINED if refined else Rule.KEY_COARSENED
            detail = f"{', '.join(before['key']) or 'none'} before, {', '.join(after['key']) or 'none'} now"
            yield self._change(name, "broker", rule, detail, is_breaking=not refined)

    def _flows_of(self, code: str) -> list[Flow]:
        """Who sends an error: whoever answers what raises it."""
        servers = {
            member["served_by"]
            for side in (self._old, self._new)
            for member in side["members"].values()
            if code in member.get("raises", ())
        }
        return [flow for flow in FLOWS if flow in servers]

    def _payload(self, member: str, part: str, flow: Flow, before: Json, after: Json) -> Iterator[Change]:
        form, walk = ("sent" if flow == "client" else "received"), self._walks[flow]
        old, new = before[form], after[form]
        seen: set[Found] = set()
        for found in walk.compare(*((old, new) if flow == "client" else (new, old)), part):
            if found not in seen:
                seen.add(found)
                yield Change(
                    self._name, member, found.path, flow, found.rule, found.is_breaking, found.detail
                )
