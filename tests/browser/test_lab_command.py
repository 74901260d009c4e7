"""`steerkit lab`, from its start to Ctrl-C."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe import check
from harness import Panel, text
from playwright.sync_api import BrowserContext, Page, Request, expect

pytestmark = pytest.mark.browser
# As from a terminal: what starts the tests may have it ignore Ctrl-C.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from steerkit.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def command() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """The running command, the address that it printed, and a port that was taken before it came."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["lab", "--no-browser", "--port", str(port), "--prompt", "One day, Tom", "--theme", "dark"]
        with subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            found = next((m for line in process.stdout if (m := re.search(r"http://\S+", line))), None)
            assert found, "it ended without an address"
            yield process, found.group(), port
            process.kill()


def elsewhere(page: Page) -> list[str]:
    """What became of the requests to other machines: the list grows as the page makes them."""
    answers: list[str] = []

    def note(request: Request, answer: str) -> None:
        if not request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
            answers.append(answer)

    page.on("response", lambda response: note(response.request, "answered"))
    page.on("requestfailed", lambda request: note(request, str(request.failure)))
    return answers


def test_it_serves_those_with_the_token_and_ends_when_told_to(
    command: tuple[subprocess.Popen[str], str, int], browser: BrowserContext, tmp_path: Path
) -> None:
    process, address, taken = command
    assert f":{taken}/" not in address
    with urllib.request.urlopen(address.split("?")[0]) as answer:
        assert "/login" in answer.url
        assert "skw.Lab" not in answer.read().decode()

    page = browser.new_page()
    answers = elsewhere(page)
    page.goto(address, timeout=120_000)  # the page ends when the notebook has run
    lab = page.locator(".sk-lab")
    lab.wait_for(timeout=120_000)
    panel = Panel(lab.locator(".sk-steering-panel"))
    expect(panel.prompt).to_have_value("One day, Tom")
    panel.run.click()
    panel.finish()
    written = text(panel.steered)
    assert written
    expect(lab.get_by_role("list", name="Tokens", exact=True)).to_contain_text(written)
    expect(lab).to_have_attribute("data-sk-theme", "dark")
    check(lab)
    with page.expect_download() as download:
        lab.get_by_role("button", name="Save page").click()
    download.value.save_as(tmp_path / "lab.html")
    page.close()
    assert all("csp" in answer.lower() for answer in answers), "the page's own rule keeps them from being sent"

    offline = browser.browser.new_context(offline=True)
    saved = offline.new_page()
    saved.goto((tmp_path / "lab.html").as_uri())
    panel = Panel(saved.locator(".sk-lab .sk-steering-panel"))
    panel.root.wait_for()
    assert text(panel.steered) == written
    offline.close()

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
