"""Whether other seeds show the same: every model fitted anew to halves of the runs."""
