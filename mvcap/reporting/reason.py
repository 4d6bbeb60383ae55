"""One finding about a take: how much it matters and the sentence for the user."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

TRUST: Final = "trust"
LIMITS: Final = "limits"
REFUSE: Final = "do not trust"


class Reason(NamedTuple):
    """One finding: its severity and the sentence for the user, which gives the number, the place and the way out."""

    level: Literal["limits", "do not trust"]
    reason: str
