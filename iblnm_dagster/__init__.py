"""The Dagster asset graph around `iblnm`: orchestration only, no science."""
