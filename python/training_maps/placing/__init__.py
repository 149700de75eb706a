"""New runs on an existing map: where they are, how usual that is, and when they will converge."""
