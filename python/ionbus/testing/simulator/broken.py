"""What a simulation finds."""

from __future__ import annotations


class Broken(Exception):
    """An invariant does not hold.

    Args:
        rule: which one, in a word or two; the shrinker looks for the same again.
        text: what was seen.
        culprit: whose engine it is, as "client 0" or "broker 0", where that can be told.
    """

    def __init__(self, rule: str, text: str, culprit: str = "") -> None:
        super().__init__(f"{rule}: {text}" + (f" ({culprit})" if culprit else ""))
        self.rule = rule
        self.text = text
        self.culprit = culprit


def expect(holds: bool, rule: str, text: str, culprit: str = "") -> None:
    """Check an invariant.

    Raises:
        Broken: it does not hold.
    """
    if not holds:
        raise Broken(rule, text, culprit)
