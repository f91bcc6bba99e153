"""Accumulator-aware weights: held so that no register of an accumulator can overflow."""
