"""The run as Prefect's own pages show it, in a real browser."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tests.acceptance.lifecycle.conftest import Project, script
from tests.machine import Machine

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 30_000


def test_prefect_shows_the_run_its_stages_and_its_artifacts(machine: Machine, project: Project) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("Chromium is missing: apt-get install chromium, or `make test` as root")
    content = project.script(script())
    gates = [word for gate in ("prd", "change", "release") for word in ("--approve", gate)]
    done = machine.phasegate(
        "run", project.ticket, "--repo", project.top, "--rehearse", content, "--json", *gates, timeout=180
    )
    assert done.code == 0, done.out + done.err
    run = done.json
    engine = machine.phasegate("status", "--json").json["engine"]
    ui, link = engine["ui_url"], engine["login_url"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(f"{ui}/runs/flow-run/{run['flow_run_id']}")
        expect(page.get_by_text("Open the link that phasegate up prints")).to_be_visible(timeout=PATIENCE_MS)
        page.goto(link)
        page.wait_for_url(f"{ui}/v2/dashboard**", timeout=PATIENCE_MS)
        _shows_stages(page, ui, run["flow_run_id"])
        _shows_the_prd(page, ui, run["id"])
        _reads_nothing_from_another_origin(browser.new_page(), ui, page)
        _is_no_use_to_a_second_browser(browser.new_page(), link)
        browser.close()


def _reads_nothing_from_another_origin(stranger: Page, ui: str, logged_in: Page) -> None:
    """A page of another port and host asks, with the browser's session and with a form's content type.

    Mutation tried: `_check_origin` empty; the answers are then opaque, but the request arrives.
    """
    reached: list[int] = []
    stranger.on("response", lambda response: reached.append(response.status) if "/api/" in response.url else None)
    stranger.route("http://evil.localhost:9/", lambda route: route.fulfill(body="<p>x</p>", content_type="text/html"))
    stranger.goto("http://evil.localhost:9/")
    stranger.evaluate(_ASK, f"{ui}/api/flow_runs/filter")
    assert set(reached) <= {401, 403}
    assert logged_in.evaluate("() => fetch('/api/flow_runs/filter').then(answer => answer.status)") == 401


_ASK = """async url => {
    for (const mode of ['no-cors', 'cors']) {
        for (const credentials of ['include', 'omit']) {
            const headers = {'Content-Type': 'text/plain'};
            await fetch(url, {method: 'POST', mode, credentials, headers, body: '{}'}).catch(error => error);
        }
    }
}"""


def _is_no_use_to_a_second_browser(page: Page, link: str) -> None:
    page.goto(link)
    expect(page.get_by_text("This link was used already")).to_be_visible(timeout=PATIENCE_MS)


def _shows_stages(page: Page, ui: str, flow_run: str) -> None:
    page.goto(f"{ui}/runs/flow-run/{flow_run}?tab=TaskRuns")
    for stage in ("prd #1", "implementation #1", "testing authoring #1", "testing grading #1", "deployment release #1"):
        expect(page.get_by_text(stage, exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def _shows_the_prd(page: Page, ui: str, run: str) -> None:
    page.goto(f"{ui}/artifacts/key/{run}-prd-1")
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Acceptance criteria").first).to_be_visible(timeout=PATIENCE_MS)
