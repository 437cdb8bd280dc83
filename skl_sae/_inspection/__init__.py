"""The parts of `skl_sae.inspection`."""
