"""The page in a real browser, headless Chromium: it draws, plays, scrubs and hides people."""

import colorsys
import io
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import people_moving
import pytest
from PIL import Image

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.view import colours, page

pytestmark = pytest.mark.long

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
CUT = 50  # rows of the 3D picture that lie under buttons
ACCENT = "#b3007d"  # of the chosen joint and its path, on light ground
BLUE, ORANGE = colours.PEOPLE[:2]
LEFT, RIGHT = colours.SIDES["left"], colours.SIDES["right"]


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Starts the system's Chromium with some flags; nothing is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)}")
    with playwright.sync_playwright() as driver:
        start = driver.chromium.launch
        yield lambda *flags: start(executable_path=found, args=["--no-sandbox", *flags])


@pytest.fixture(scope="module")
def browser(launch) -> Any:
    return launch(*SOFTWARE)


class Opened:
    """A page that is open, with all it said and asked for."""

    def __init__(self, browser: Any, path: Path, hash: str = "#frame=0", **context: Any) -> None:
        size = {"width": 880, "height": 520}  # software draws large pictures slowly
        self.context = browser.new_context(**{"viewport": size, "color_scheme": "light", **context})
        self.tab = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(f"{path.as_uri()}{hash}")
        self.tab.wait_for_selector("body[data-frame]", timeout=60_000)
        self.address = path.as_uri()

    @property
    def frame(self) -> int:
        return int(self.tab.evaluate("document.body.dataset.frame"))

    def picture(self, canvas: str = "#stage") -> np.ndarray:
        """uint8 [H, W, 3]: what is to be seen of a canvas after the next drawing, no buttons."""
        drawn = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))"
        self.tab.evaluate(f"new Promise((done) => {drawn})")
        shot = self.tab.locator(canvas).screenshot()
        picture = np.array(Image.open(io.BytesIO(shot)).convert("RGB"))
        return picture[CUT:-30] if canvas == "#stage" else picture

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits for what a slow machine does later."""
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, f"nothing in 30 s, still frame {self.frame}"
            self.tab.wait_for_timeout(100)

    def scrub(self, frame: int) -> None:
        self.tab.locator("#frame").fill(str(frame))
        self.tab.wait_for_selector(f"body[data-frame='{frame}']")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pose = people_moving.pair()
    one = replace(pose, tracks=pose.tracks[:1])
    empty = Motion((), H36M17, 0.0, "unknown", "camera")
    return {
        "pair": page.write_page(pose, folder / "pair.html", people_moving.seen_from(pose), "Two"),
        "one": page.write_page(one, folder / "one.html"),
        "camera": page.write_page(people_moving.to_camera(pose), folder / "camera.html"),
        "empty": page.write_page(empty, folder / "empty.html"),
    }


@pytest.fixture(scope="module")
def shared_page(browser, files) -> Opened:
    return Opened(browser, files["pair"])


RESET = """() => {
  const state = { loop: true, spread: true, path: false, zoom: false };
  for (const [id, on] of Object.entries(state)) if (get(id).checked !== on) get(id).click();
  for (const box of get("people").querySelectorAll("input")) if (!box.checked) box.click();
  for (const list of [get("who"), get("joint"), get("quantity"), get("colours")]) {
    list.selectedIndex = 0;
    list.dispatchEvent(new Event("change"));
  }
  get("speed").value = 1;
  document.activeElement.blur();
}"""


@pytest.fixture
def opened(shared_page) -> Iterator[Opened]:
    """The page of two people at frame 0, silent and asking for nothing before and after."""
    shared_page.tab.evaluate(RESET)
    shared_page.tab.keyboard.press("r")
    shared_page.scrub(0)
    yield shared_page
    assert shared_page.said == []
    assert shared_page.asked == [shared_page.address]


def of_hue(picture: np.ndarray, colour: str, near: float = 0.035) -> np.ndarray:
    """Pixels (row, column) of the hue of a colour, whatever the light on them."""
    wanted = colorsys.rgb_to_hsv(*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))[0]
    channels = np.array(Image.fromarray(picture).convert("HSV")) / 255.0
    away = np.abs(channels[..., 0] - wanted)
    strong = (channels[..., 1] > 0.3) & (channels[..., 2] > 0.2)
    return np.argwhere((np.minimum(away, 1 - away) < near) & strong)


def count(picture: np.ndarray, colour: str, near: float = 0.035) -> int:
    """How many pixels have the hue of a colour."""
    return len(of_hue(picture, colour, near))


def change(before: np.ndarray, after: np.ndarray) -> int:
    """Pixels that differ clearly."""
    return int((np.abs(before.astype(int) - after).max(-1) > 30).sum())


def test_it_draws_both_people_in_3d_and_2d(opened):
    opened.scrub(30)
    for canvas in ("#stage", "#picture"):
        drawn = opened.picture(canvas)
        assert count(drawn, BLUE) > 300
        assert count(drawn, ORANGE) > 300
    assert opened.tab.locator("h1").inner_text() == "Two"
    assert "Height <assumed> & marked." in opened.tab.locator(".notes").inner_text()
    assert "world (y up)" in opened.tab.locator("dl").inner_text()


def test_it_scrubs(opened):
    opened.scrub(20)
    before = {canvas: opened.picture(canvas) for canvas in ("#stage", "#picture", "#chart")}
    opened.scrub(50)
    for canvas, picture in before.items():
        assert change(picture, opened.picture(canvas)) > 100
    assert opened.tab.locator("#time").inner_text() == "50 / 119 · 1.67 s"
    opened.scrub(20)
    for canvas, picture in before.items():
        assert change(picture, opened.picture(canvas)) == 0


SAMPLES = """new Promise((done) => {
  const samples = [];
  const tick = (now) => {
    samples.push([now / 1000, Number(document.body.dataset.frame)]);
    if (now - samples[0][0] * 1000 > 2500) done(samples);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
})"""


@pytest.mark.parametrize("speed", ["0.25", "1"])
def test_it_plays_by_the_clock_and_stops(opened, speed):
    opened.tab.locator("#speed").select_option(speed)
    opened.tab.locator("#play").click()
    opened.wait_for(lambda: opened.frame > 0)
    (begun, first), *_, (ended, last) = opened.tab.evaluate(SAMPLES)
    assert last > first
    assert last - first == pytest.approx(30 * float(speed) * (ended - begun), rel=0.2, abs=2)
    opened.tab.locator("#play").click()
    still = opened.frame
    opened.tab.wait_for_timeout(500)
    assert opened.frame == still


def test_it_stops_at_the_end_unless_it_loops(opened):
    opened.tab.locator("#loop").uncheck()
    opened.scrub(110)
    opened.tab.locator("#play").click()
    opened.tab.wait_for_selector("#play[aria-label='Play']")
    assert opened.frame == 119
    opened.tab.locator("#loop").check()
    opened.scrub(110)
    opened.tab.locator("#play").click()
    opened.wait_for(lambda: opened.frame < 110)


def test_people_are_hidden_by_the_legend_and_in_gaps(opened):
    opened.scrub(people_moving.GAP[0] + 5)
    for canvas in ("#stage", "#picture"):
        assert count(opened.picture(canvas), BLUE) > 300
        # The input has no gap: its track is the same, so the person is absent there too.
        assert count(opened.picture(canvas), ORANGE) == 0
    opened.scrub(30)
    opened.tab.get_by_role("checkbox", name="Person 3").uncheck()
    for canvas in ("#stage", "#picture"):
        assert count(opened.picture(canvas), BLUE) == 0
        assert count(opened.picture(canvas), ORANGE) > 300
    opened.tab.get_by_role("checkbox", name="Person 3").check()
    assert count(opened.picture(), BLUE) > 300


def test_the_camera_turns_and_comes_back(opened):
    opened.scrub(30)
    start = opened.picture()
    box = opened.tab.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.tab.mouse.move(x, y)
    opened.tab.mouse.down()
    opened.tab.mouse.move(x + 150, y + 40, steps=4)
    opened.tab.mouse.up()
    opened.tab.mouse.wheel(0, -300)
    turned = opened.picture()
    assert change(start, turned) > 1000
    pictures = [start, turned]
    for name in ("Front", "Side", "Top"):
        opened.tab.get_by_role("button", name=name).click()
        pictures.append(opened.picture())
        assert min(change(pictures[-1], other) for other in pictures[:-1]) > 1000
    opened.tab.get_by_role("button", name="Reset").click()
    assert change(start, opened.picture()) == 0


def test_keys(opened):
    press = opened.tab.keyboard.press
    for key, frame in (("ArrowRight", 1), ("Shift+ArrowRight", 31), ("ArrowLeft", 30)):
        press(key)
        opened.tab.wait_for_selector(f"body[data-frame='{frame}']")
    press("End")
    opened.tab.wait_for_selector("body[data-frame='119']")
    press("Home")
    opened.tab.wait_for_selector("body[data-frame='0']")
    press("ArrowUp")
    assert opened.tab.locator("#speed").input_value() == "1.5"
    press("ArrowDown")
    press("ArrowDown")
    assert opened.tab.locator("#speed").input_value() == "0.5"
    press("Space")
    opened.tab.wait_for_selector("#play[aria-label='Pause']")
    press("Space")
    opened.tab.wait_for_selector("#play[aria-label='Play']")
    before = opened.picture()
    press("3")
    assert change(before, opened.picture()) > 1000
    press("r")
    assert change(before, opened.picture()) == 0


def test_a_joint_is_chosen_in_the_list_or_in_the_picture(opened):
    opened.scrub(30)
    chart, root = opened.picture("#chart"), of_hue(opened.picture(), ACCENT)
    opened.tab.locator("#joint").select_option("right wrist")
    opened.tab.locator("#who").select_option("7")
    wrist = of_hue(opened.picture(), ACCENT)
    assert np.abs(np.median(wrist, axis=0) - np.median(root, axis=0)).max() > 20
    assert change(chart, opened.picture("#chart")) > 100
    opened.tab.locator("#path").check()
    assert count(opened.picture(), ACCENT) > len(wrist) + 25
    opened.tab.locator("#path").uncheck()
    for name in ("speed", "uncertainty"):
        chart = opened.picture("#chart")
        opened.tab.locator("#quantity").select_option(name)
        assert change(chart, opened.picture("#chart")) > 100
    # A click where the chosen joint is drawn chooses it again.
    opened.tab.locator("#joint").select_option("root")
    row, column = np.median(wrist, axis=0).tolist()
    opened.tab.locator("#stage").click(position={"x": column, "y": row + CUT})
    chosen = "list => list.selectedOptions[0].text"
    opened.wait_for(lambda: opened.tab.locator("#joint").evaluate(chosen) == "right wrist")


def test_the_chart_moves_time(opened):
    box = opened.tab.locator("#chart").bounding_box()
    opened.tab.locator("#chart").click(position={"x": box["width"] / 2, "y": 60})
    opened.wait_for(lambda: 45 < opened.frame < 75)


def test_uncertainty_can_be_switched_off(opened):
    opened.scrub(30)
    before = opened.picture()
    opened.tab.locator("#spread").uncheck()
    faint = np.abs(before.astype(int) - opened.picture()).max(-1) > 4
    assert faint.sum() > 20


def test_numbers_arrive_in_the_browser(opened):
    read = """async () => {
      const motion = await decodeMotion(JSON.parse(get("data").textContent).pose);
      return motion.tracks.map((t) => [[...t.points], [...t.seen], [...t.spread], runs(t)]);
    }"""
    for track, got in zip(people_moving.pair(), opened.tab.evaluate(read), strict=True):
        shown = track.confidence > 0
        np.testing.assert_array_equal(np.reshape(got[1], shown.shape), shown)
        points = np.reshape(got[0], track.points.shape)
        np.testing.assert_allclose(points[shown], track.points[shown], atol=1e-4)
        spread = np.reshape(got[2], shown.shape)
        np.testing.assert_allclose(spread[shown], track.uncertainty[shown], atol=1e-4)
        away = [[first + track.start, last + track.start] for first, last in track.gaps]
        edges = [track.start, *(edge for gap in away for edge in gap), track.start + len(track)]
        assert got[3] == np.reshape(edges, (-1, 2)).tolist()


def test_one_person_is_painted_by_side(browser, files):
    opened = Opened(browser, files["one"])
    drawn = opened.picture()
    assert count(drawn, LEFT) > 300
    assert count(drawn, RIGHT) > 300
    assert not opened.tab.locator("#input").is_visible()
    opened.tab.locator("#colours").select_option("people")
    assert count(opened.picture(), RIGHT, 0.015) == 0
    assert opened.said == []
    opened.context.close()


def test_a_camera_motion_looks_like_the_world_motion(browser, files):
    """The same points in other axes: the same picture, but for the 5 cm of unknown floor."""
    pictures = []
    for name in ("pair", "camera"):
        opened = Opened(browser, files[name], "#frame=30")
        opened.tab.get_by_role("button", name="Front").click()
        drawn = opened.picture()
        pictures.append(np.argwhere(np.ptp(drawn[..., :3], axis=-1) > 90))
        assert opened.said == []
        opened.context.close()
    for axis in range(2):
        sizes = [np.ptp(spots[:, axis]) for spots in pictures]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phones(browser, files, scheme):
    size = {"width": 400, "height": 800}
    context = {
        "viewport": size,
        "color_scheme": scheme,
        "device_scale_factor": 2,
        "has_touch": True,
    }
    opened = Opened(browser, files["pair"], **context)
    assert opened.tab.evaluate("document.documentElement.scrollWidth") == 400
    for id in ("play", "frame", "speed", "loop", "stage"):
        assert opened.tab.locator(f"#{id}").bounding_box()["x"] >= 0
    ground = opened.picture()[5, 5]
    assert (ground > 200).all() if scheme == "light" else (ground < 60).all()
    assert opened.said == []
    opened.context.close()


def test_it_starts_by_itself_unless_motion_is_unwelcome(browser, files):
    for wanted, label in (("no-preference", "Pause"), ("reduce", "Play")):
        opened = Opened(browser, files["pair"], "", reduced_motion=wanted)
        assert opened.tab.locator("#play").get_attribute("aria-label") == label
        opened.context.close()


def test_without_webgl_the_input_still_plays(launch, files):
    opened = Opened(launch("--disable-3d-apis"), files["pair"], "#frame=30")
    assert "cannot draw in 3D" in opened.tab.locator("#trouble").inner_text()
    assert count(opened.picture("#picture"), BLUE) > 300
    opened.scrub(40)


def test_nobody_at_all_is_no_error(browser, files):
    opened = Opened(browser, files["empty"])
    assert opened.frame == 0
    assert opened.said == []
    opened.context.close()
