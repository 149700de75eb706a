"""The training map as a picture, drawn from its dict alone."""
