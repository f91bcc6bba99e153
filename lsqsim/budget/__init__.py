"""Overflow budgets: how wide accumulators must be, for every input; proven, with witnesses."""
