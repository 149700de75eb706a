"""Report, summary and comparison: what people read of an experiment."""
