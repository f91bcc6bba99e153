"""Hypothesis profiles: ``HYPOTHESIS_PROFILE`` says how far properties are searched."""

import os

from hypothesis import settings

# No deadline anywhere: the first example of a test may compile a kernel.
settings.register_profile("dev", max_examples=100, deadline=None)
settings.register_profile(
    "ci", max_examples=1_000, deadline=None, derandomize=False, print_blob=True
)
settings.register_profile("thorough", max_examples=10_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "dev")
