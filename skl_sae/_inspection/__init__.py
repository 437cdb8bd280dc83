"""What `skl_sae.inspection` is made of."""
