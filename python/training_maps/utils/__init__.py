"""What all stages stand on: files, errors, locks, progress, wording and numbers."""
