"""Identity by content: the same resolved spec has the same id everywhere, and any other has another.

The id is a hash of the resolved spec: every field that changes what is trained, with the options of the chosen components
alone. So changing a default can never make an old run pass for a new one, and a new component changes no other run's id.
Fields that are null or false are switched off and left out: a later field that is off by default changes no id either.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from study.config.run import Kept, RunSpec
from study.config.stored import Stored, recorded, upgraded

SCHEMA = 2
"""Version of specs: part of every id; raised only when the meaning of a stored field changes."""

_KEPT = frozenset(Kept.model_fields)


def canonical_json(kind: str, fields: Stored) -> str:
    """A spec as one JSON text: sorted keys, no spaces, floats as Python's shortest repr; the hashed bytes."""
    return json.dumps(
        {"schema": SCHEMA, kind: _switched_on(dict(fields))}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _switched_on(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _switched_on(inner) for key, inner in value.items() if inner is not None and inner is not False}


def digest(kind: str, fields: Stored) -> str:
    """The 12 hex digits of an id."""
    return hashlib.sha256(canonical_json(kind, fields).encode()).hexdigest()[:12]


def trained(spec: RunSpec | Stored) -> dict[str, Any]:
    """The fields that change what is trained, as plain data."""
    given = spec.model_dump(mode="json") if isinstance(spec, RunSpec) else upgraded(spec)
    return {name: value for name, value in given.items() if name not in _KEPT}


def point_id(spec: RunSpec | Stored) -> str:
    """Identity without the seed: `plain-56-cifar10-<12 hex>`. Runs that differ in the seed alone share it."""
    named, fields = recorded(spec), trained(spec)
    return f"{named.network}-{named.depth}-{named.dataset}-{digest('run', {k: v for k, v in fields.items() if k != 'seed'})}"


def run_id(spec: RunSpec | Stored) -> str:
    """Identity of a run: `plain-56-cifar10-s0-<12 hex>`; a readable part and 12 digits of SHA-256."""
    named = recorded(spec)
    return f"{named.network}-{named.depth}-{named.dataset}-s{named.seed}-{digest('run', trained(spec))}"
