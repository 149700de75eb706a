"""What all stages stand on: files, errors, locks, progress, words and numbers."""
