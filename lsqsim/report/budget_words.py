"""Designs side by side in words: what tables and the figure say alike."""

from collections.abc import Sequence

from lsqsim.report.content import Report

_SHORT = {"wrap": "wrap", "saturate": "sat"}


def group_name(designs: Sequence[Report], acc: str = "P") -> str:
    """Designs that differ in the last register's width only, which is called ``acc``."""
    *inner, last = designs[0]["accumulator"]["stages"]
    words = [f"{s['fan_in']} x {s['bits']} {_SHORT[s['overflow']]}" for s in inner]
    return ", ".join([*words, f"{acc} {_SHORT[last['overflow']]}"])


def budget_sentences(report: Report) -> list[str]:
    """Which design is the smallest of those that are safe, and of those that lose nothing."""
    named = {design["name"]: design for design in report["designs"]}
    certified, lossless = report["smallest_certified"], report["smallest_lossless"]
    if certified is None:
        least = min(design["certified_bits"] for design in report["designs"])
        line = (
            f"None of these designs is certified: that takes a last register of {least} bits or "
            f"more, and registers before it that are certified, too."
        )
    else:
        line = (
            f"C  {certified} is the smallest certified design: no input in range makes any "
            f"accumulator lose its total."
        )
    if report["observation"] is None:
        return [line]
    if lossless is None:
        return [line, "Every one of these designs changes output codes on this data."]
    proven = "and it is certified, too"
    if not named[lossless]["is_certified"]:
        proven = "but it is not certified: inputs exist for which an accumulator loses its total"
    return [
        line,
        f"L  {lossless} is the smallest that changes no output code on this data, {proven}.",
    ]


def group_label(designs: Sequence[Report]) -> str:
    """The same in full, for a legend."""
    stages = designs[0]["accumulator"]["stages"]
    rules = [f" ({stage['overflow']})" for stage in stages]
    if len(set(rules)) == 1:
        rules[:-1] = [""] * (len(rules) - 1)
    words = [
        f"tiles of {stage['fan_in']} in {stage['bits']} bits{rule}, "
        for stage, rule in zip(stages[:-1], rules, strict=False)
    ]
    return f"{''.join(words)}P bits{rules[-1]}"


def findings(report: Report) -> list[str]:
    """The marked designs, in words."""
    return [
        f"smallest certified design: {report['smallest_certified'] or 'none of these'}",
        f"smallest that changes no code: {report['smallest_lossless'] or 'none of these'}",
        "",
    ]


def cost_of(design: Report, *, has_labels: bool) -> float:
    """Right predictions in percent, or SQNR in dB; NaN where it is without limit."""
    seen = design["observed"]
    value = seen["accuracy"] if has_labels else seen["sqnr_db"]
    if value is None:
        return float("nan")
    return 100 * value if has_labels else value


def exact_level(observation: Report, *, has_labels: bool) -> float | None:
    """The same without overflow; None where it is without limit."""
    if has_labels:
        return 100 * observation["exact_accuracy"]
    levels = [layer["exact_sqnr_db"] for layer in observation["layers"]]
    found = [level for level in levels if level is not None]
    return min(found, default=None)


def figure_title(report: Report) -> str:
    """What is compared, and on what."""
    names, n = report["network"], report["observation"]["n_predictions"]
    k = max(layer["k"] for layer in report["layers"])
    if len(names) == 1:
        what = f"{names[0]} (K = {k})"
    else:
        what = f"Network of {len(names)} layers, {names[0]} to {names[-1]} (K up to {k})"
    return f"How wide must the accumulator be?\n{what}; {n} predictions on given data"
