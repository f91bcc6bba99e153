"""Parts of ``tools/seed_faults.py``: faults, the tests that see them, and a report."""
