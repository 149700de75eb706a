"""Whether fewer or other metrics would find the same."""
