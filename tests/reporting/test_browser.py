"""The page in a real browser, as a reader has it: with a mouse, with a keyboard alone, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .chromium import PHONE, Browser
from .sweeps import HOSTILE, usual, written

Pages = Callable[[str], Path]
EYE = "return document.querySelectorAll('.scene')[arguments[0]].layout.scene.camera.eye"
LINES = "return document.querySelectorAll('#curve-panels path.line').length"


def surface(browser: Browser) -> Any:
    """Wait until the surfaces are drawn; the left one."""
    browser.run("document.getElementById('surface-panels').scrollIntoView({block: 'center', behavior: 'instant'})")
    assert browser.wait("return document.getElementById('surface-panels').dataset.ready") == "yes"
    return browser.find(".scene")


def distance(eye: dict[str, float]) -> float:
    return float(sum(value**2 for value in eye.values()) ** 0.5)


# -- strangers --------------------------------------------------------------------------------------------------------


def test_what_strangers_write_is_shown_and_never_run(browser: Browser, pages: Pages) -> None:
    browser.open(pages("strangers"))  # the fixture fails for whatever is said on the console
    surface(browser)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.find("#run-table .open").click()
    assert browser.find("h1").get_attribute("textContent") == browser.driver.title.removesuffix(" · report") == HOSTILE
    assert browser.texts(".description") == [HOSTILE]
    assert HOSTILE in browser.run("return document.querySelector('#run-table .details').textContent")
    assert HOSTILE in browser.run("return document.querySelector('.panel select').textContent")
    text = browser.run("return document.body.textContent")
    assert "{{7*7}}" in text and ">49" not in text
    scripts = browser.run("return [...document.scripts].map((one) => one.type || 'code')")
    assert sorted(scripts) == ["application/json", "application/octet-stream", "code", "code"]
    assert browser.run("return [...document.images].every((one) => !one.src || one.src.startsWith('data:'))")
    assert browser.run("return document.querySelectorAll('[onerror], [onclick], [onload]').length") == 0


def test_no_other_script_may_run(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    source = pages("usual").read_text("utf-8")
    (tmp_path / "bad.html").write_text(source.replace("<main", "<script>window.bad = 1</script><main"), "utf-8")
    browser.open(tmp_path / "bad.html")
    browser.wait("return document.querySelectorAll('#run-table tbody tr').length > 0")
    assert browser.run("return typeof bad") == "undefined"
    said = browser.said()
    assert said and all("Content Security Policy" in line for line in said)


def test_nothing_may_be_fetched(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    browser.run(
        "window.refused = []; addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {}); new Image().src = 'http://127.0.0.1:9/x.png'"
    )
    assert sorted(browser.wait("return refused.length == 2 && refused")) == ["connect-src", "img-src"]
    assert all("Content Security Policy" in line for line in browser.said())
    assert browser.asked()[-1] == "http://127.0.0.1:9/x.png"  # it was refused, but the fixture would not know


# -- curves -----------------------------------------------------------------------------------------------------------


def test_curves_are_switched_on_and_off(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    runs, means = 19, 4  # one run was never started
    assert browser.run(LINES) == 2 * (runs + means)
    assert browser.texts("#curve-panels h3") == ["plain", "residual"]

    def box(text: str) -> Any:
        return browser.run(
            "return [...document.querySelectorAll('#curve-controls fieldset label')]"
            ".find((one) => one.textContent == arguments[0])",
            text,
        )

    box("over the seeds shown").click()
    browser.wait(f"{LINES} == {2 * runs}")
    box("training error (running)").click()
    browser.wait(f"{LINES} == {3 * runs}")
    box("56").click()
    browser.wait(f"{LINES} == {3 * 10}")
    box("residual").click()
    browser.wait(f"{LINES} == {3 * 5}")
    assert browser.texts("#curve-panels h3") == ["plain"]
    browser.run("arguments[0].querySelector('input').focus()", box("3"))
    browser.keys(" ")
    browser.wait(f"{LINES} == {3 * 4}")
    drawn = browser.run("return [...document.querySelectorAll('path.line')].map((one) => one.dataset.run)")
    assert sorted(drawn) == sorted(
        f"plain-20 {seed} {split}" for seed in (0, 1, 2, 4) for split in ("train_clean", "train", "test")
    )
    for _ in range(2):  # all on, then none
        browser.find("button[aria-label='Seed: all or none']").click()
    browser.wait(f"{LINES} == 0")
    assert browser.texts("#curve-readout") == ["Nothing is switched on."]


def test_the_curve_under_the_mouse_is_named(browser: Browser, pages: Pages) -> None:
    from selenium.webdriver import ActionChains

    browser.open(pages("usual"))
    curves, _ = usual().read("curves")
    for text in ("56", "over the seeds shown", "training error"):
        browser.run(
            "[...document.querySelectorAll('#curve-controls label')].find((one) => one.textContent == arguments[0]).click()",
            text,
        )
    browser.find("button[aria-label='Seed: all or none']").click()
    browser.run("document.querySelectorAll('#curve-controls fieldset')[3].querySelector('input').click()")
    browser.wait(f"{LINES} == 2")
    x, y = browser.run(
        "const line = document.querySelector('path.line'), frame = line.ownerSVGElement.getBoundingClientRect();"
        "scrollBy({ top: frame.top - 200, behavior: 'instant' });"
        "const end = line.getAttribute('d').split('L').at(-1).split(',').map(Number);"
        "return [end[0] - frame.width / 2, end[1] - frame.height / 2]"
    )
    svg = browser.find("#curve-panels svg")
    ActionChains(browser.driver, duration=0).move_to_element_with_offset(svg, round(x) - 1, round(y)).perform()
    chosen = curves.query("network == 'plain' and depth == 20 and seed == 0 and split == 'test' and iteration == 64000")
    said = browser.wait("return document.getElementById('curve-readout').textContent.trim()")
    assert said == f"plain-20, seed 0: test error {chosen['error'].item():.4g} % at iteration 64,000"


def test_a_box_is_looked_at_closer(browser: Browser, pages: Pages) -> None:
    from selenium.webdriver import ActionChains

    browser.open(pages("usual"))
    ticks = (
        "return [...document.querySelectorAll('#curve-panels svg:first-of-type text')].map((one) => one.textContent)"
    )
    before = browser.run(ticks)
    svg = browser.find("#curve-panels svg")
    ActionChains(browser.driver, duration=0).move_to_element(svg).click_and_hold().move_by_offset(
        60, 60
    ).release().perform()
    browser.wait(f"return String({ticks.removeprefix('return ')}) != String({before!r})")
    browser.run(
        "[...document.querySelectorAll('#curve-controls button')].find((b) => b.textContent == 'Whole range').click()"
    )
    browser.wait(f"return String({ticks.removeprefix('return ')}) == String({before!r})")


# -- the surface ------------------------------------------------------------------------------------------------------


def test_the_surface_turns_under_the_mouse_and_by_keyboard(browser: Browser, pages: Pages) -> None:
    from selenium.webdriver import ActionChains

    browser.open(pages("usual"))
    assert browser.run("return typeof Plotly") == "undefined"  # not before it is needed
    scene = surface(browser)
    options = browser.texts(".panel:first-child option")
    assert options == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]
    chosen = browser.run("return [...document.querySelectorAll('.panel select')].map((one) => +one.value)")
    assert [options[place] for place in chosen] == ["plain-56", "ResNet-56"]
    start = browser.run(EYE, 0)
    assert browser.run(EYE, 1) == start
    ActionChains(browser.driver, duration=0).move_to_element(scene).click_and_hold().move_by_offset(
        90, 25
    ).release().perform()
    browser.wait(f"{EYE.replace('arguments[0]', '0')}.x.toFixed(3) != '{start['x']:.3f}'")
    browser.wait(
        f"return JSON.stringify(({EYE.replace('return ', '').replace('arguments[0]', '0')})) =="
        f" JSON.stringify(({EYE.replace('return ', '').replace('arguments[0]', '1')}))"
    )  # both are seen from one place
    turned = browser.run(EYE, 0)
    browser.run("arguments[0].focus()", scene)
    browser.keys("\ue012")  # arrow left
    left = browser.run(EYE, 0)
    assert left != turned and distance(left) == pytest.approx(distance(turned))
    browser.keys("+")
    assert distance(browser.run(EYE, 0)) < distance(left) - 0.1
    browser.keys("-", "-")
    assert distance(browser.run(EYE, 0)) > distance(left) + 0.1
    browser.keys("0")
    assert browser.run(EYE, 0) == start == browser.run(EYE, 1)
    browser.find("button[aria-label='Tilt up']").click()
    assert browser.run(EYE, 0)["z"] > start["z"]
    draws_what_is_chosen(browser)


def draws_what_is_chosen(browser: Browser) -> None:
    """Another surface, another height."""
    planes, _ = usual().read("surfaces")
    choose = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
    browser.run(choose, browser.find(".panel select"), 2)
    browser.run(choose, browser.find("#surface-controls select"), 3)
    browser.wait("return document.querySelector('.scene').layout.scene.zaxis.title.text == 'test error (%)'")
    drawn = browser.run("return document.querySelector('.scene').data[0].z")
    rows = planes.query("network == 'residual' and depth == 20 and split == 'test'").sort_values(["j", "i"])
    assert drawn == pytest.approx(rows["error"].to_list(), rel=1e-3)


# -- runs and tables --------------------------------------------------------------------------------------------------


def column(browser: Browser, name: str) -> list[str]:
    heads = browser.texts("#run-table thead th")
    return browser.texts(f"#run-table tbody tr td:nth-child({heads.index(name) + 1})")


def press(browser: Browser, name: str) -> str:
    """Press a column's head; how it is sorted then."""
    head = browser.run(
        "return [...document.querySelectorAll('#run-table th')].find((one) => one.textContent == arguments[0])", name
    )
    browser.run("arguments[0].firstElementChild.focus()", head)
    browser.keys("\ue007")  # enter
    return str(head.get_attribute("aria-sort"))


def test_runs_are_sorted_by_number_and_by_text(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    assert press(browser, "iteration") == "ascending"
    assert column(browser, "iteration") == ["0", "9,700", "30,000", *["64,000"] * 17]  # as text, 30,000 is before 9,700
    assert press(browser, "iteration") == "descending"
    assert column(browser, "iteration")[-1] == "0"
    press(browser, "test error (%)")
    errors = column(browser, "test error (%)")
    assert errors[-1] == "–" and [float(one) for one in errors[:-1]] == sorted(float(one) for one in errors[:-1])
    assert press(browser, "run") == "ascending"
    assert column(browser, "run") == sorted(column(browser, "run"), key=lambda name: (name[0].lower(), int(name[-2:])))
    sorts = browser.run("return [...document.querySelectorAll('#run-table th')].map((one) => one.ariaSort)")
    assert sorts.count("none") == len(sorts) - 1


def test_runs_are_searched_and_opened(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    search = browser.find("#run-search")
    search.send_keys("PLAIN diverged")
    assert browser.texts("#run-count") == ["1 of 20 runs"]
    assert column(browser, "run") == ["plain-56"] and column(browser, "seed") == ["3"]
    browser.find("#run-table .open").click()
    fields = dict(
        zip(
            browser.texts("#run-table .details dt"), browser.texts("#run-table .details dd"), strict=True
        )
    )  # fmt: skip
    assert set(usual().runs.columns) == set(fields)
    assert fields["precision"] == "fp32" and fields["iteration"] == "9700" and fields["shortcut"] == "–"
    search.clear()
    search.send_keys("nothing of the kind")
    assert browser.texts("#run-count") == ["0 of 20 runs"] and browser.texts("#run-table tbody tr") == []


def test_a_table_is_sorted(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    cells = "#tables > .wide:first-of-type tbody tr td:nth-child(4)"
    for way in (False, True):
        browser.run("document.querySelectorAll('#tables th button')[3].click()")
        means = [float(text.split()[0]) for text in browser.texts(cells)]
        assert means == sorted(means, reverse=way) and len(set(means)) > 2


# -- readers ----------------------------------------------------------------------------------------------------------


def test_light_and_dark(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"), scheme="dark")
    ground = "return getComputedStyle(document.body).backgroundColor"
    stroke = "return document.querySelector('path.line').getAttribute('stroke')"
    dark, line = browser.run(ground), browser.run(stroke)
    button = browser.find("#theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert browser.run(ground) != dark and button.get_attribute("aria-pressed") == "false"
    browser.wait(f"{stroke} != '{line}'")
    browser.open(pages("usual"))
    assert browser.run(ground) != dark and button_state(browser) == "false"
    browser.find("#theme").click()
    assert browser.run(ground) == dark and button_state(browser) == "true"


def button_state(browser: Browser) -> str:
    return str(browser.find("#theme").get_attribute("aria-pressed"))


@pytest.mark.parametrize("name", ["usual", "strangers"])
def test_a_phone_is_wide_enough(name: str, browser: Browser, pages: Pages) -> None:
    browser.open(pages(name), PHONE)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.run("document.querySelector('#run-table .open').click()")
    assert len(browser.texts(".scene")) == 1
    wide, window = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window == PHONE[0]
    browser.run("document.querySelector('.enlarge').click()")
    assert browser.run("return document.documentElement.scrollWidth") <= window


def test_a_keyboard_reaches_everything_and_is_seen(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    browser.keys("\ue004")  # tab
    assert browser.run("return document.activeElement.className") == "skip"
    browser.keys("\ue007")
    assert browser.run("return document.activeElement.id") == "main"
    reached = set()
    for _ in range(150):
        browser.keys("\ue004")
        here = browser.run(
            "const one = document.activeElement, style = getComputedStyle(one);"
            "const name = one.ariaLabel || [...(one.labels || [])].map((l) => l.textContent).join() || one.textContent;"
            "return [one.closest('section')?.id || one.tagName, name.trim().length > 0, parseFloat(style.outlineWidth) > 1]"
        )
        if here[0] == "BODY":
            break
        assert here[1:] == [True, True], here
        reached.add(here[0])
    assert {"verdict", "curves", "surface", "figures", "tables", "runs"} <= reached


def test_a_figure_is_enlarged(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    browser.run("document.querySelector('.enlarge').focus()")
    browser.keys("\ue007")
    large = "return document.getElementById('large').open"
    assert browser.run(large) and browser.run("return document.getElementById('large-image').naturalWidth") > 0
    assert browser.find("#large-save").get_attribute("download") == "degradation.svg"
    browser.keys("\ue00c")  # escape
    assert not browser.run(large) and browser.run("return document.activeElement.className") == "enlarge"


def test_on_paper_there_is_nothing_to_press(browser: Browser, pages: Pages) -> None:
    browser.open(pages("usual"))
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = browser.run(
        "return ['header', '#curve-controls', '.skip'].map((one) => getComputedStyle(document.querySelector(one)).display)"
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == ["none"] * 3


def test_a_page_that_is_loaded_again_remembers(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(usual(), tmp_path / "page.html"))
    browser.find("#run-search").send_keys("plain")
    browser.run("document.querySelector('#curve-controls fieldset input').click()")
    lines = browser.wait(
        "return new Promise(requestAnimationFrame).then(() => document.querySelectorAll('path.line').length)"
    )
    browser.run("document.querySelector('#theme').click(); document.querySelector('#run-table .open').click()")
    browser.run("scrollTo({ top: 700, behavior: 'instant' })")
    browser.driver.refresh()
    assert browser.texts("#run-count") == ["10 of 20 runs"] and len(browser.texts("#run-table .details")) == 1
    assert browser.run(LINES) == lines
    assert browser.run("return document.documentElement.dataset.theme") == "dark"
    browser.wait("return Math.abs(scrollY - 700) < 2")


def test_a_page_that_may_remember_nothing_still_works(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    browser.open(pages("usual"))
    add = "Page.addScriptToEvaluateOnNewDocument"
    forbid = (
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    added = browser.driver.execute_cdp_cmd(add, {"source": forbid})
    try:
        browser.driver.get(pages("usual").as_uri())
        browser.find("#theme").click()
        assert button_state(browser) == "true" and browser.run(LINES) > 0
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
