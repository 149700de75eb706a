"""Fuzzers of what reads strangers' files in Python; the engine's are in rust_metrics/fuzz."""
