"""The panels of a session's stages, which `iblnm.pipeline.stages` declares with them."""
