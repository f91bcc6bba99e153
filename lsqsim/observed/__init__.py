"""Observed budgets: what every width of an accumulator does to given data, from one pass."""
