"""Whether other seeds would show the same map, by what halves of the runs agree on."""
