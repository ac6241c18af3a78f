"""Part of the sample package."""
