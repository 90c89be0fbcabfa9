"""Manifests of a commit that can be released, and the errors for the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repositories import write_files

from phasegate.infra.deploy.kubernetes.api.diff import difference
from phasegate.infra.deploy.kubernetes.api.manifests import is_below, read_manifests
from phasegate.infra.errors import ConfigError

IMAGE = f"shop@sha256:{'a' * 64}"


def deployment(image: str = IMAGE, name: str = "shop", namespace: str = "web") -> str:
    container = f"{{name: a, image: '{image}', ports: [{{containerPort: 80}}]}}"
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{template: {{spec: {{containers: [{container}]}}}}}}\n"
    )


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80}]}\n"
CRON = (
    "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: tidy}\nspec: {jobTemplate: {spec: {template: {spec: "
    "{initContainers: [{name: a, image: tidy:latest}]}}}}}\n"
)


def read(tmp_path: Path, files: dict[str, str], path: str = "k8s") -> list[str]:
    write_files(tmp_path, files)
    return [f"{one['kind']}/{one['metadata']['name']}" for one in read_manifests(tmp_path, path, namespace="web")]


def test_a_folder_is_read_with_what_is_needed_first(tmp_path: Path):
    files = {"k8s/a.yaml": deployment(), "k8s/below/b.yml": SERVICE, "k8s/notes.md": "# no manifest"}
    assert read(tmp_path, files) == ["Service/shop", "Deployment/shop"]


def test_a_built_file_and_a_list_are_read(tmp_path: Path):
    listed = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
    files = {"all.yaml": f"{deployment()}---\n{SERVICE}---\n{listed}---\n"}
    assert read(tmp_path, files, "all.yaml") == ["ConfigMap/a", "Service/shop", "Deployment/shop"]


def test_the_protocol_that_is_meant_is_written_down(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(f"{deployment()}---\n{SERVICE}")
    service, workload = read_manifests(tmp_path, "a.yaml", namespace="web")
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP"}]
    ports = workload["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert ports == [{"containerPort": 80, "protocol": "TCP"}]


PROBLEMS = {
    "a tag": ({"k8s/a.yaml": deployment("shop:1.2")}, "k8s/a.yaml: Deployment/shop: image shop:1.2 is not named by"),
    "no image": ({"k8s/a.yaml": deployment("")}, r"image \(none\) is not named by a digest"),
    "a short digest": ({"k8s/a.yaml": deployment("shop@sha256:abc")}, "not named by a digest"),
    "an init container of a CronJob": ({"k8s/a.yaml": CRON}, "CronJob/tidy: image tidy:latest is not named"),
    "another namespace": ({"k8s/a.yaml": deployment(namespace="prod")}, "meant for namespace prod, not web"),
    "no name": ({"k8s/a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {generateName: a}\n"}, "name is missing"),
    "twice": ({"k8s/a.yaml": SERVICE, "k8s/b.yaml": SERVICE}, "k8s/b.yaml: Service/shop is there twice"),
    "both at once": ({"k8s/a.yaml": deployment("shop:1", namespace="x")}, r"(?s)namespace x.*shop:1"),
    "no YAML": ({"k8s/a.yaml": "a: [\n"}, "is not YAML"),
    "a list of words": ({"k8s/a.yaml": "- a\n"}, "no Kubernetes object"),
    "an object of Python's": ({"k8s/a.yaml": "a: !!python/object/apply:os.getcwd []\n"}, "is not YAML"),
    "nothing": ({"k8s/a.txt": ""}, "no manifests in k8s"),
    "a kustomization": ({"k8s/kustomization.yaml": "resources: []\n"}, "has to be built"),
    "what a few aliases blow up": (
        {
            "k8s/a.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
                for old, new in zip("abcdefgh", "bcdefghi", strict=True)
            )
        },
        "more than 100,000 values",
    ),
    "a date as a key": ({"k8s/a.yaml": f"{SERVICE}---\ndata:\n  2026-01-01: x\n"}, "k8s/a.yaml, line 7, data: .*date"),
    "a boolean as a key": ({"k8s/a.yaml": "data: {on: x}\n"}, "k8s/a.yaml, line 1, data: a key must be text"),
    "5,000 digits": ({"k8s/a.yaml": f"a: {'1' * 5_000}\n"}, "line 1: it holds a number"),
    "an empty integer": ({"k8s/a.yaml": "a: !!int ''\n"}, "line 1, a: the tag !!int"),
    "3,000 lists": ({"k8s/a.yaml": "a: " + "[" * 3_000}, "nested more than 100 deep"),
    "half of a character": ({"k8s/a.yaml": 'a: "\\ud800"\n'}, "line 1, a: it holds half of a character"),
    "infinity": ({"k8s/a.yaml": "a: .inf\n"}, "line 1, a: .inf is no number"),
    "what contains itself": ({"k8s/a.yaml": "a: &a\n  b: *a\n"}, "line 2, a.b: it holds itself"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_be_released_is_named_with_a_remedy(tmp_path: Path, name: str):
    files, said = PROBLEMS[name]
    with pytest.raises(ConfigError, match=said) as error:
        read(tmp_path, files)
    assert error.value.remedy


def test_manifests_do_not_lead_out_of_the_repository(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "k8s").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError, match="leads out of the repository"):
        read_manifests(tmp_path / "repository", "k8s", namespace="web")


@pytest.mark.parametrize(
    ("manifests", "path", "below"),
    [("k8s", "k8s/a.yaml", True), ("k8s", "k8s2/a.yaml", False), ("a.yaml", "a.yaml", True), ("k8s/", "k8s/b/c", True)],
)
def test_only_the_manifests_are_taken_from_a_commit(manifests: str, path: str, *, below: bool):
    assert is_below(manifests, path) == below


def test_a_diff_leaves_out_what_servers_add():
    live = {
        "kind": "Service",
        "metadata": {"name": "a", "uid": "1", "resourceVersion": "2", "annotations": {"phasegate.dev/release": "r"}},
        "status": {"loadBalancer": {}},
    }
    assert difference(live, {"kind": "Service", "metadata": {"name": "a"}}) == ""


@pytest.mark.parametrize(
    ("live", "wanted", "said"),
    [
        ({"a": "old"}, {"a": "new"}, ["-  a: ‹hidden, as it is›", "+  a: ‹hidden, another›"]),
        ({"a": "same"}, {"a": "same", "b": "more"}, ["+  b: ‹hidden›"]),
        ({"a": "gone", "b": "x"}, {"b": "x"}, ["-  a: ‹hidden›"]),
        ({"a": "same"}, {"a": "same"}, []),
    ],
)
def test_a_secret_shows_that_it_changes_and_not_how(live: dict[str, str], wanted: dict[str, str], said: list[str]):
    def secret(data: dict[str, str]) -> dict[str, object]:
        return {"kind": "Secret", "metadata": {"name": "a"}, "data": data}

    lines = difference(secret(live), secret(wanted)).splitlines()
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in {"---", "+++"}] == said
