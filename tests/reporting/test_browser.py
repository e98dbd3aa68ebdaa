"""The page in a real browser: with a mouse, with a keyboard alone, on a phone, in the dark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .chromium import PHONE
from .sweeps import HOSTILE, usual

pytestmark = pytest.mark.slow
Pages = Callable[[str], Path]
TRACES = "return document.getElementById('curve-plot').data.length"
EYE = "return document.querySelectorAll('.scene')[arguments[0]].layout.scene.camera.eye"


def ready(browser, what="curves"):
    """Wait until the curves, or also the surfaces, are drawn."""
    if what == "surfaces":
        browser.run("document.getElementById('surface-panels').scrollIntoView({block: 'center', behavior: 'instant'})")
    state = "return document.getElementById('main').dataset.ready"
    browser.wait(f"{state} == '{what}' || ({state.removeprefix('return ')}) == 'surfaces'")


def box(browser, text):
    """The checkbox of the curves with this label."""
    return browser.run(
        "return [...document.querySelectorAll('#curve-controls fieldset label')]"
        ".find((one) => one.textContent == arguments[0]).querySelector('input')",
        text,
    )


def choose(browser, select, place):
    browser.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))", select, place)


def test_what_strangers_write_is_shown_and_never_run(browser, pages):
    browser.open(pages("strangers"))  # the fixture fails for whatever is logged to the console
    ready(browser)
    ready(browser, "surfaces")
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.find("h1").get_attribute("textContent") == browser.driver.title.removesuffix(" · report") == HOSTILE
    assert HOSTILE in browser.run("return document.querySelector('#run-table').textContent")
    assert HOSTILE in browser.run("return document.querySelector('.panel select').textContent")
    drawn = browser.run("return document.querySelector('#curve-plot svg .annotation-text, #curve-plot').textContent")
    assert HOSTILE[:20] in drawn
    text = browser.run("return document.body.textContent")
    assert "{{7*7}}" in text and ">49" not in text
    scripts = browser.run("return [...document.scripts].map((one) => one.type || 'code')")
    assert sorted(scripts) == ["application/json", "application/octet-stream", "code", "code"]
    assert browser.run("return [...document.images].every((one) => !one.src || one.src.startsWith('data:'))")
    assert browser.run("return document.querySelectorAll('[onerror], [onclick], [onload]').length") == 0


def test_no_other_script_may_run_and_nothing_be_fetched(browser, pages, tmp_path):
    source = pages("usual").read_text("utf-8")
    (tmp_path / "bad.html").write_text(source.replace("<main", "<script>window.bad = 1</script><main"), "utf-8")
    browser.open(tmp_path / "bad.html")
    ready(browser)
    assert browser.run("return typeof bad") == "undefined"
    browser.run(
        "window.refused = []; addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {}); new Image().src = 'http://127.0.0.1:9/x.png'"
    )
    assert sorted(browser.wait("return refused.length == 2 && refused")) == ["connect-src", "img-src"]
    logged = browser.said()
    assert logged and all("Content Security Policy" in line for line in logged)
    browser.asked()


def test_curves_are_selected(browser, pages):
    browser.open(pages("usual"))
    ready(browser)
    seeds, means = 19, 4  # one run was never started
    assert browser.run(TRACES) == 2 * (seeds + means)
    box(browser, "mean").click()
    browser.wait(f"{TRACES} == {2 * seeds}")
    box(browser, "training error (running), dotted").click()
    browser.wait(f"{TRACES} == {3 * seeds}")
    box(browser, "56").click()
    browser.wait(f"{TRACES} == {3 * 10}")
    box(browser, "residual").click()
    browser.wait(f"{TRACES} == {3 * 5}")
    browser.run("arguments[0].focus()", box(browser, "3"))
    browser.keys(" ")
    browser.wait(f"{TRACES} == {3 * 4}")
    names = browser.run("return document.getElementById('curve-plot').data.map((one) => one.name)")
    assert sorted(set(names)) == [f"plain-20, seed {seed}" for seed in (0, 1, 2, 4)]
    choose(browser, browser.run("return document.querySelectorAll('#curve-controls select')[1]"), 2)
    browser.wait("return document.getElementById('curve-plot').layout.yaxis.type == 'log'")
    for _ in range(2):  # all on, then none
        browser.find("button[aria-label='Seed: all or none']").click()
    browser.wait(f"{TRACES} == 0")


def test_the_curve_under_the_mouse_is_named(browser, pages):
    browser.open(pages("usual"))
    ready(browser)
    curves, _ = usual().read("curves")
    last = curves.query("network == 'plain' and depth == 20 and seed == 0 and split == 'test' and iteration == 64000")
    browser.run(
        "const plot = document.getElementById('curve-plot');"
        "const curve = plot.data.findIndex((one) => one.name == 'plain-20, seed 0' && one.line.dash == 'solid');"
        "Plotly.Fx.hover(plot, [{curveNumber: curve, pointNumber: plot.data[curve].x.length - 1}])"
    )
    shown = browser.wait("return document.querySelector('.hoverlayer')?.textContent")
    assert f"plain-20, seed 0: test error {last['error'].item():.4g} % at iteration 64,000" in shown.replace("−", "-")


def test_surfaces_turn_together(browser, pages):
    from selenium.webdriver import ActionChains

    browser.open(pages("usual"))
    ready(browser, "surfaces")
    options = browser.texts(".panel:first-child option")
    assert options == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]
    chosen = browser.run("return [...document.querySelectorAll('.panel select')].map((one) => +one.value)")
    assert [options[place] for place in chosen] == ["plain-56", "ResNet-56"]
    start = browser.run(EYE, 0)
    assert browser.run(EYE, 1) == start
    scene = browser.find(".scene")
    ActionChains(browser.driver, duration=0).move_to_element(scene).click_and_hold().move_by_offset(
        90, 25
    ).release().perform()
    one, other = (EYE.removeprefix("return ").replace("arguments[0]", number) for number in "01")
    browser.wait(f"return {one}.x.toFixed(3) != '{start['x']:.3f}' && JSON.stringify({one}) == JSON.stringify({other})")
    choose(browser, browser.find(".panel select"), 2)
    choose(browser, browser.find("#surface-controls select"), 3)
    browser.wait("return document.querySelector('.scene').layout.scene.zaxis.title.text == 'test error (%)'")
    drawn = browser.run("return document.querySelector('.scene').data[0].z.flat()")
    planes, _ = usual().read("surfaces")
    rows = planes.query("network == 'residual' and depth == 20 and split == 'test'").sort_values(["j", "i"])
    assert drawn == pytest.approx(rows["error"].to_list(), rel=1e-3)


def column(browser, name):
    heads = browser.texts("#run-table thead th")
    return browser.texts(f"#run-table tbody tr:not([hidden]) td:nth-child({heads.index(name) + 1})")


def press(browser, name):
    """Press a column's head with the keyboard; the direction in which it is sorted then."""
    head = browser.run(
        "return [...document.querySelectorAll('#run-table th')].find((one) => one.textContent == arguments[0])", name
    )
    browser.run("arguments[0].firstElementChild.focus()", head)
    browser.keys("\ue007")  # enter
    return str(head.get_attribute("aria-sort"))


def test_runs_are_sorted_and_searched(browser, pages):
    browser.open(pages("usual"))
    assert press(browser, "iteration") == "ascending"
    assert column(browser, "iteration") == ["0", "9,700", "30,000", *["64,000"] * 17]  # as text, 30,000 is before 9,700
    assert press(browser, "iteration") == "descending"
    assert column(browser, "iteration")[-1] == "0"
    press(browser, "test error (%)")
    errors = column(browser, "test error (%)")
    assert errors[-1] == "–" and [float(one) for one in errors[:-1]] == sorted(float(one) for one in errors[:-1])
    search = browser.find("#run-search")
    search.send_keys("PLAIN diverged")
    assert browser.texts("#run-count") == ["1 of 20 runs"]
    assert column(browser, "run") == ["plain-56"] and column(browser, "seed") == ["3"]


def test_the_dark_follows_the_system(browser, pages):
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.open(pages("usual"), scheme="dark")
    dark = browser.run(ground)
    browser.open(pages("usual"))
    assert browser.run(ground) != dark


@pytest.mark.parametrize("name", ["usual", "strangers"])
def test_a_phone_is_wide_enough(name, browser, pages):
    browser.open(pages(name), PHONE)
    ready(browser)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert len(browser.texts(".scene")) == 1
    cut = browser.run(
        "return [...document.querySelectorAll('main *')].filter((one) => one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).display != 'inline' && !one.closest('svg, .scene')).map((one) => one.outerHTML)"
    )
    assert cut == []  # nor does a part of the page scroll sideways
    wide, window = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window == PHONE[0]
    plot, inside = browser.run(
        "return [document.getElementById('curve-plot'), document.querySelector('#curve-plot .main-svg')]"
        ".map((one) => one.getBoundingClientRect().bottom)"
    )
    assert inside <= plot + 1  # it covers nothing that follows


def test_a_keyboard_reaches_everything_and_is_seen(browser, pages):
    browser.open(pages("usual"))
    ready(browser)
    browser.keys("\ue004")  # tab
    assert browser.run("return document.activeElement.className") == "skip"
    reached = set()
    for _ in range(120):
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
    assert {"verdict", "curves", "surfaces", "tables", "runs"} <= reached
