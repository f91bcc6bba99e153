"""Designs side by side: accumulators over a grid of choices, proven and observed."""
