"""Examples of a strategy, the same in every run: to count what it draws."""

from hypothesis import HealthCheck, Phase, given, settings


def drawn(strategy, n=300):
    """``n`` examples, or all there are."""
    examples = []

    @settings(
        max_examples=n, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(example):
        examples.append(example)

    collect()
    return examples


def share(examples, holds):
    """Fraction of ``examples`` for which ``holds``."""
    return sum(map(bool, map(holds, examples))) / len(examples)
