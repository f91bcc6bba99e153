"""Networks on the integers: graphs of layers, additions and pools between which codes pass."""
