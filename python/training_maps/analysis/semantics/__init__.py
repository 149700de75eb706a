"""What time in the states has to do with an outcome, such as the convergence time."""
