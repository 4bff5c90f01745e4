"""What ``conveyor reconcile`` prints, for people and for programs; written as it is found, so that a million
deviations need no memory."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from conveyor.reconcile.repair import Left, Mended
from conveyor.reconcile.rules import Deviation
from conveyor.reconcile.run import Findings
from conveyor.terminal import say, say_json_list

#: Of any kind at most so many are printed without --all; a summary that has scrolled away helps nobody.
SHOWN = 50


def deviations_as_json(findings: Findings, found: Iterable[Deviation]) -> int:
    """One JSON document; returns how many deviations there are."""
    return _document("deviations", (each._asdict() for each in found), findings, lambda _each: True)


def repairs_as_json(findings: Findings, results: Iterable[Mended | Left]) -> int:
    """One JSON document; returns how many deviations are left."""
    entries = (
        {
            **each.deviation._asdict(),
            "mended": isinstance(each, Mended),
            **({"service": each.service, "did": each.did} if isinstance(each, Mended) else each.advice._asdict()),
        }
        for each in results
    )
    return _document("repairs", entries, findings, lambda each: not each["mended"])


def _document(name: str, entries: Iterable[dict[str, Any]], findings: Findings, counts: Any) -> int:
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for each in entries:
            count += bool(counts(each))
            yield each

    def rest() -> dict[str, Any]:
        checked = {name.replace(" ", "_").replace("-", "_"): number for name, number in findings.checked.items()}
        return {"ok": not count, "checked": checked, "unchecked": findings.unchecked}

    say_json_list(name, counted(), rest)
    return count


def deviations_as_lines(findings: Findings, found: Iterable[Deviation], everything: bool) -> int:
    """A line for each and a summary; returns how many deviations there are."""
    by_kind: Counter[str] = Counter()
    for each in found:
        by_kind[each.kind] += 1
        if everything or by_kind[each.kind] <= SHOWN:
            say(f"{each.kind}  {each.id}  there is: {each.found}  should be: {each.expected}")
    say(*_more(by_kind), *_checked(findings))
    if by_kind:
        say(f"{by_kind.total():,} DEVIATIONS: {_listed(by_kind)}")
    else:
        say("OK: the databases agree")
    return by_kind.total()


def repairs_as_lines(findings: Findings, results: Iterable[Mended | Left], everything: bool, dry_run: bool) -> int:
    """A line for each repair and for each deviation that is left, and a summary; returns how many are left."""
    mended: Counter[str] = Counter()
    left: Counter[str] = Counter()
    did, would = ("would mend", "would do") if dry_run else ("mended", "did")
    for each in results:
        counted, deviation = (mended if isinstance(each, Mended) else left), each.deviation
        counted[deviation.kind] += 1
        if not everything and counted[deviation.kind] > SHOWN:
            continue
        there = f"{deviation.kind}  {deviation.id}  there is: {deviation.found}"
        if isinstance(each, Mended):
            say(f"{did}: {there}  {would}: {each.did}")
        else:
            say(f"not mended: {there}  should be: {deviation.expected}")
            say(f"    because {each.advice.why}. You can: {each.advice.can_do}.")
    say(*_more(mended), *_more(left), *_checked(findings))
    if mended:
        say(f"{did} {mended.total():,}: {_listed(mended)}")
    say(f"{left.total():,} NOT MENDED: {_listed(left)}" if left else "OK: nothing is left to mend")
    return left.total()


def _more(by_kind: Counter[str]) -> Iterator[str]:
    for kind, count in by_kind.items():
        if count > SHOWN:
            yield f"{kind}: {count - SHOWN:,} more; --all prints them"


def _checked(findings: Findings) -> Iterator[str]:
    yield "checked " + ", ".join(f"{count:,} {name}" for name, count in findings.checked.items())
    for what in findings.unchecked:
        yield f"not checked: {what}"


def _listed(by_kind: Counter[str]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in by_kind.items())
