"""Lanes and packs: how networks are trained, side by side, and stopped and resumed without a trace."""
