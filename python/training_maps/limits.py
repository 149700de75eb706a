"""Limits that several stages go by."""

#: A metric missing at more of a run's checkpoints than this share is refused.
MISSING_SHARE = 0.1
#: The largest step: float64, in which tables hold numbers, holds every whole number up to here.
LARGEST_STEP = 2**53
