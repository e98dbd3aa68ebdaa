import sys
from hashlib import sha256
from importlib import import_module, reload

import pytest

from study.config.registry import BLOCKS, SCHEDULES
from study.config.use import forget, use
from study.errors import StudyError

HALVES = """
from study.config.own import schedule

@schedule
def halves(iteration: int, iterations: int, *, every: int = 10, by: float = 0.5) -> float:
    \"\"\"The rate falls to a half.\"\"\"
    return by ** (iteration // every)
"""


def write(path, text=HALVES):
    path.write_text(text)
    return path


def test_a_file_brings_a_component_with_its_options(tmp_path):
    write(tmp_path / "mine.py")
    source = use("mine.py", tmp_path)
    assert source.digest == sha256(HALVES.encode()).hexdigest()[:12]  # of runs that are trained
    entry = SCHEDULES["halves"]
    assert entry.summary == "The rate falls to a half." and entry.option_names == ["every", "by"]
    chosen = SCHEDULES.choose({"name": "halves", "every": 5})
    assert chosen.options == {"every": 5, "by": 0.5}
    assert chosen.model_dump() == {"name": "halves", "every": 5, "by": 0.5, "code": source.digest}
    assert entry.make(10, 100, **chosen.options) == 0.25
    with pytest.raises(StudyError, match="schedule 'halves': the name is taken"):
        use(str(write(tmp_path / "other.py", HALVES.replace("a half", "halves"))), tmp_path)
    assert SCHEDULES["halves"] is entry
    write(tmp_path / "both.py", "from mine import halves\n" + HALVES.replace("def halves", "def thirds"))
    both = use("both.py", tmp_path)
    assert {SCHEDULES[name].source for name in ("halves", "thirds")} == {both} and both.digest != source.digest


def test_changed_code_has_another_digest_and_replaces_what_was_registered(tmp_path):
    path = write(tmp_path / "mine.py")
    before = use("mine.py", tmp_path)
    assert use(str(path), tmp_path / "elsewhere") == before
    assert SCHEDULES.choose("halves").by == 0.5
    write(path, HALVES.replace("= 0.5", "= 0.25"))
    after = use("mine.py", tmp_path)
    assert after.digest != before.digest and SCHEDULES.choose("halves").by == 0.25
    with pytest.raises(ValueError, match="its code changed"):
        SCHEDULES.choose({"name": "halves", "code": before.digest})
    write(path, "1 / 0")
    with pytest.raises(StudyError, match=r"mine.py:1: ZeroDivisionError"):
        use("mine.py", tmp_path)
    assert SCHEDULES.choose("halves").by == 0.25


@pytest.mark.parametrize("text, message", [
    (None, r"use: .*mine.py: No such file"),
    ("x = 3\n", r"mine.py: registers no component; decorate one"),
    ("import study\n\ndef f(:\n", r"mine.py:3: SyntaxError"),
    ("import study\nimport nothing_of_this_name\n", r"mine.py:2: ModuleNotFoundError: No module named 'nothing_of"),
    (HALVES.replace("every: int", "every"), r"mine.py:4: halves: the option every has no type"),
    (HALVES.replace("halves", "Halves-1".replace("-", "ß")), r"a schedule cannot be called 'halvesß1'"),
    (HALVES.replace("def halves", "def cosine"), r"schedule 'cosine': the name is taken"),
    ("from study.config.own import block\n\n@block\nclass Mine:\n    pass\n", r"mine.py:3: Mine: a block is a subclass of"),
    ("import sys\nsys.exit(3)\n", r"mine.py:2: SystemExit: 3"),
    ("raise BaseException('no')\n", r"mine.py:1: BaseException: no"),
    ("from . import helper\n", r"mine.py:1: ImportError: attempted relative import"),
    (HALVES.replace("every", "code"), r"mine.py:4: halves: an option cannot be called code: that has a meaning already"),
    (HALVES.replace("= 10", "= 'ten'"), r"mine.py:4: halves: the default of every: Input should be a valid integer"),
    (HALVES + "\n@schedule(name='halves')\ndef other(a, b):\n    pass\n", "'halves': the name is taken; give other another"),
])  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_in_one_line_with_its_place(tmp_path, text, message):
    if text is not None:
        write(tmp_path / "mine.py", text)
    before = dict(SCHEDULES)
    with pytest.raises(StudyError, match=message) as caught:
        use("mine.py", tmp_path)
    assert len(caught.value.args) == 1 and dict(SCHEDULES) == before


def test_a_block_has_its_options_as_attributes_and_the_layers_of_its_base(tmp_path):
    write(tmp_path / "blocks.py", """
from study.config.own import block
from study.networks.blocks import BasicBlock, Block

@block
class GhostNet(BasicBlock):
    ratio: float = 0.5
    sizes: tuple[int, ...] = (1, 2)

    def branch(self, x):
        return self.ratio * super().branch(x)

@block(name="two", layers=2)
class Other(Block):
    def __init__(self, *given):
        super().__init__(*given)
""")  # fmt: skip
    use("blocks.py", tmp_path)
    assert BLOCKS["ghost_net"].kernels == (3, 3) and len(BLOCKS["two"].kernels) == 2
    chosen = BLOCKS.choose({"name": "ghost_net", "sizes": [3]})
    made = BLOCKS["ghost_net"].make(4, 4, 1, None, **chosen.options)
    assert made.ratio == 0.5 and made.sizes == (3,)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package `thing`: its entry point imports the module with the component."""
    info = tmp_path / "thing-1.0.dist-info"
    for folder in (info, tmp_path / "thing"):
        folder.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[study.components]\nthing = thing\n")
    (tmp_path / "thing" / "__init__.py").write_text("from thing.rates import halves\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write(tmp_path / "thing" / "rates.py")
    for name in ("thing", "thing.rates"):
        sys.modules.pop(name, None)


def test_an_entry_point_is_imported_when_it_is_named_and_its_version_is_in_the_digest(package):
    with pytest.raises(StudyError, match=r"no entry point of study.components; there is .*thing"):
        use("nothing")
    assert "thing" not in sys.modules
    source = use("thing")
    assert source.name == "thing" and SCHEDULES["halves"].source == source
    forget()
    assert "halves" not in SCHEDULES and use("thing") == source and SCHEDULES["halves"].source == source


def test_what_was_imported_in_another_way_is_used_all_the_same(package):
    thing = import_module("thing")
    made = SCHEDULES["halves"].made
    assert made is thing.halves and use("thing").name == "thing"
    assert SCHEDULES["halves"].made is not made and SCHEDULES["halves"].source.name == "thing"
    forget()
    source = use("rates.py", package.parent)
    reload(import_module("thing.rates"))  # registers the same file's component again, and again
    assert SCHEDULES["halves"].source == source


def test_code_other_than_that_of_a_digest_is_not_run(tmp_path):
    write(tmp_path / "mine.py")
    digest = use("mine.py", tmp_path).digest
    forget()
    assert use("mine.py", tmp_path, digest).digest == digest
    forget()
    write(tmp_path / "mine.py", "raise SystemExit('this ran')")
    with pytest.raises(StudyError, match=f"is not the code {digest} that this was started with"):
        use("mine.py", tmp_path, digest)
