"""Lanes and packs: networks trained side by side, and stopped and resumed bit for bit."""
