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
    ui = machine.phasegate("status", "--json").json["engine"]["ui_url"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page()
        _shows_stages(page, ui, run["flow_run_id"])
        _shows_the_prd(page, ui, run["id"])
        browser.close()


def _shows_stages(page: Page, ui: str, flow_run: str) -> None:
    page.goto(f"{ui}/runs/flow-run/{flow_run}?tab=TaskRuns")
    for stage in ("prd #1", "implementation #1", "testing authoring #1", "testing grading #1", "deployment release #1"):
        expect(page.get_by_text(stage, exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def _shows_the_prd(page: Page, ui: str, run: str) -> None:
    page.goto(f"{ui}/artifacts/key/{run}-prd-1")
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Acceptance criteria").first).to_be_visible(timeout=PATIENCE_MS)
