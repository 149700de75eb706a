"""What the beginning of a run foretells of its end."""
