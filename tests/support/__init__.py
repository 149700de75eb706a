"""What several tests use: twins, simulations, stand-ins."""
