"""Identity by content: the same resolved spec has the same id everywhere, and any other has another.

The id is a hash of the whole spec, defaults included, so that changing a default can never make an old run pass for
a new one. A field that a later version adds would change every id; it is therefore listed in `NEUTRAL` with the
value that means "as before", and left out of the hash while it holds that value. The neutral value is frozen when
the field is added, and stays what it is even if the field's default changes later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from study.config.run import RunSpec, recorded

SCHEMA = 1
"""Version of the run spec: part of every id; raised only when the meaning of a stored field changes."""

NEUTRAL: dict[str, Any] = {
    "recipe.bn_groups": 1,
    "recipe.schedule": "milestones",
    "recipe.plateau_patience": 5,
    "recipe.plateau_improvement": 0.01,
    "recipe.plateau_drops": 2,
    "recipe.scales": None,
    "recipe.colour": "none",
    "recipe.mean": "pixel",
    "stride_in": None,
    "shortcut_scale": None,
    "branch_scale": None,
    "gate_bias": None,
    "dropout": None,
    "order": "original",
    "initialisation": "he_fan_in",
    "start_from": None,
    "probes": [],
    "probe_every": None,
    "probe_images": None,
    "snapshot_every": None,
}
"""Fields added since schema 1, named as in a sweep file (`field` or `recipe.field`), each with the value under which
older runs were trained."""


Stored = Mapping[str, Any]
"""A spec as it is stored, in JSON's types: perhaps of something that is not registered here, or of a later version."""


def canonical_json(spec: RunSpec | Stored, *, seed: bool = True) -> str:
    """The spec as one JSON text: sorted keys, no spaces, floats as Python's shortest repr; the hashed bytes."""
    given = spec.model_dump(mode="json") if isinstance(spec, RunSpec) else spec
    fields = {k: dict(v) if isinstance(v, Mapping) else v for k, v in given.items() if seed or k != "seed"}
    for field, value in NEUTRAL.items():
        *outer, name = field.split(".")
        holder = fields.get(outer[0]) if outer else fields
        if isinstance(holder, dict) and name in holder and holder[name] == value:
            del holder[name]
    return json.dumps({"schema": SCHEMA, "run": fields}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def point_id(spec: RunSpec | Stored) -> str:
    """Identity without the seed: `plain-56-cifar10-<12 hex>`. Runs that differ in the seed alone share it."""
    named = recorded(spec)
    return f"{named.network}-{named.depth}-{named.dataset}-{_digest(canonical_json(spec, seed=False))}"


def run_id(spec: RunSpec | Stored) -> str:
    """Identity of a run: `plain-56-cifar10-s0-<12 hex>`; a readable part and 12 digits of SHA-256."""
    named = recorded(spec)
    return f"{named.network}-{named.depth}-{named.dataset}-s{named.seed}-{_digest(canonical_json(spec))}"
