"""What `skl_sae.inspection` and the displays of units are made of."""
