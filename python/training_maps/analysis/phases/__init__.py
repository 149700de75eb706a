"""When runs memorise and generalise, and whether states begin there."""
