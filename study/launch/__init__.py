"""From a sweep to trained runs: what to do (`plan`), and who does it (the executors)."""
