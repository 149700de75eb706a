"""The stages' commands; `training_maps.cli` imports the one that is asked for."""
