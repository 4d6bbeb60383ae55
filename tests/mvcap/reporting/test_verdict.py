"""The verdict: worst level, reasons in the order of what matters."""

from mvcap.reporting import verdict
from mvcap.reporting.reason import LIMITS, REFUSE, TRUST, Reason


def test_what_forbids_trust_stands_before_what_limits_it(monkeypatch):
    found = [
        lambda _: [Reason(LIMITS, "late")],
        lambda _: [],
        lambda _: [Reason(REFUSE, "swapped"), Reason(LIMITS, "odd")],
    ]
    monkeypatch.setattr(verdict, "REASONS", tuple(found))
    given = verdict.verdict({"people": [], "per_view": []})
    assert given["level"] == REFUSE and given["reasons"] == ["swapped", "late", "odd"]
    monkeypatch.setattr(verdict, "REASONS", tuple(found[:2]))
    assert verdict.verdict({"people": [], "per_view": []})["level"] == LIMITS != TRUST
