"""What is trained: networks of the papers, built from a run spec, and their arithmetic."""
