"""The papers' networks, built from a run spec, and their shape."""
