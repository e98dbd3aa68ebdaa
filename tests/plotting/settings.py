"""A synthetic sensitivity study: plain-110 over learning rate, initialisation and warm-up."""

from tests.frames import Frames, together

from .conftest import cut, study

RATES = {0.1: 70.0, 0.03: 30.0, 0.01: 14.0}
STARTS = {"he_fan_in": 1.0, "he_fan_out": 1.1, "glorot": 0.8}
WARMUPS = {"none": 1.0, "iterations": 0.75, "error": 0.7}


def cell(rate: float, start: str, warmup: str, seeds: int = 3, **fields: object) -> Frames:
    """Runs of one setting, with errors determined by it and the seed."""
    own = {
        "recipe.learning_rate": rate,
        "initialisation": start,
        "recipe.warmup": warmup,
        "recipe_changes": "learning_rate",
    }
    curves, runs = study(depths=(110,), networks=("plain",), seeds=seeds, iterations=400, evaluations=4, **own | fields)
    final = curves.loc[(curves["iteration"] == 400) & (curves["split"] == "train_clean"), "error"].mean()
    curves["error"] = (curves["error"] * RATES[rate] * STARTS[start] * WARMUPS[warmup] / final).clip(upper=90)
    for frame in (curves, runs):
        for name in ("run_id", "point_id"):
            frame[name] = f"{rate}-{start}-{warmup}-" + frame[name]
    return curves, runs


def sensitivity() -> Frames:
    """As `sweeps/plain110_sensitivity.yaml`: no warm-up at the lowest rate; two runs diverged, one is missing."""
    full = [cell(rate, start, warmup) for rate in (0.1, 0.03) for start in STARTS for warmup in WARMUPS]
    frames = together(*full, *(cell(0.01, start, "none") for start in STARTS))
    lost = frames[1][frames[1]["run_id"].str.startswith("0.1-he_fan_out-none")]["run_id"].tolist()
    frames = cut(cut(frames, lost[0], "diverged", 100), lost[1], "diverged", 200)
    return cut(frames, str(frames[1]["run_id"].iloc[-1]), "pending", 0)
