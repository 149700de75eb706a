"""Whether there are states at all: how well models with and without states foretell runs."""
