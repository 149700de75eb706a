"""Fuzzers of what reads strangers' files in Python; those of the Rust engine are in rust_metrics/fuzz."""
