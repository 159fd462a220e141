"""The pictures of the studio in README, made by using it: two screenshots and an animation of about 20 seconds.

    .venv/bin/python docs/pictures/make.py

It starts a studio over an empty folder of runs, as a new user sees it, and a training of its own.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 800}
FRAME = 0.5  # seconds between two pictures of the animation
READY = '#view:not([data-ready=""])[data-ready]'


class Film:
    """Pictures of a page, one after the other."""

    def __init__(self, page: Page) -> None:
        self.page, self.frames = page, list[Image.Image]()

    def take(self, count: int = 1) -> None:
        """So many pictures, FRAME seconds apart."""
        for _ in range(count):
            picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
            self.frames.append(
                picture.resize((SIZE["width"] * 5 // 8, SIZE["height"] * 5 // 8), Image.Resampling.LANCZOS)
            )
            time.sleep(FRAME / 2)

    def write(self, path: Path) -> None:
        """The animation, and on standard output how large it is."""
        first, *others = self.frames
        first.save(path, save_all=True, append_images=others, duration=int(1000 * FRAME), loop=0, quality=70, method=4)
        print(f"{path}: {len(self.frames)} pictures, {path.stat().st_size:,} bytes")


def show(page: Page, address: str) -> None:
    """Go to a view and wait until it is drawn."""
    page.evaluate("a => { document.getElementById('view').dataset.ready = ''; location.hash = a }", address)
    page.wait_for_selector(READY, timeout=60_000)


def draw(page: Page, film: Film) -> None:
    """A seven on the pad."""
    pad = page.locator("main canvas").first
    box = pad.bounding_box()
    assert box is not None
    way = [(0.3, 0.25), (0.5, 0.24), (0.7, 0.25), (0.6, 0.45), (0.5, 0.62), (0.42, 0.8)]
    page.mouse.move(box["x"] + way[0][0] * box["width"], box["y"] + way[0][1] * box["height"])
    page.mouse.down()
    for x, y in way[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        film.take()
    page.mouse.up()
    page.wait_for_timeout(600)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    words = [sys.executable, "-P", "-m", "milestones", "studio", "--quiet", "--port", "0"]
    server = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    found = re.search(r"http://\S+", server.stderr.readline())
    assert found is not None
    path = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, device_scale_factor=1)  # type: ignore[arg-type]
            page.goto(found[0])
            page.wait_for_selector(READY)
            film = Film(page)
            film.take(4)
            show(page, "#/use/shipped:lenet")
            page.locator("main canvas").first.wait_for(timeout=60_000)
            draw(page, film)
            page.get_by_text("Layer by layer").first.wait_for(timeout=60_000)
            film.take(4)
            page.screenshot(path=HERE / "studio-use.png")
            show(page, "#/attack/shipped:lenet")
            slider = page.locator("main input[type=range]").first
            slider.wait_for()
            for _ in range(8):
                slider.press("ArrowRight")
                slider.press("ArrowRight")
                film.take()
            show(page, "#/train/lenet")
            film.take(2)
            page.get_by_role("button", name="Train").click()
            film.take(2)
            page.locator(".chart canvas").first.wait_for(timeout=60_000)
            film.take(10)
            show(page, "#/playground")
            page.get_by_role("button", name="Play", exact=True).click(timeout=60_000)
            film.take(9)
            page.screenshot(path=HERE / "studio-playground.png")
            film.write(HERE / "studio.webp")
            show(page, "#/train/lenet/lenet-1")  # which would outlive the studio
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("button", name="Resume").wait_for(timeout=60_000)
            browser.close()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
