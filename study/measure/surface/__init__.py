"""The loss around trained networks: planes of weights, and its values at their points (Li et al. 2018)."""
