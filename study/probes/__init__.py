"""What is measured of a network beyond its error: `study.probes.measure` on a training or a trained one.

A probe is a function from a `Subject` to `Value`s, one file here and one line in `study.spec.registry.PROBES`.
"""
