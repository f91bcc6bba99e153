"""Compiled loops on arrays and plain integers; they know no specification and import no lsqsim."""
