"""What runs on the hosting site is what a developer can run."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]

WORKFLOWS = {path.stem: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def steps(name: str) -> list[str]:
    """The commands of a workflow, in their order."""
    jobs: dict[str, Any] = yaml.safe_load(WORKFLOWS[name].read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("name", ["test", "audit"])
def test_every_command_is_a_target_of_make(name: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = [command.split() for command in steps(name)]
    assert words
    assert all(word == ["make", target] and target in targets for word in words for target in word[1:])


def test_the_same_as_here() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1:] == steps("test")


def test_dependencies_are_audited_every_week_and_when_they_change() -> None:
    on = yaml.safe_load(WORKFLOWS["audit"].read_text())[True]  # YAML 1.1 reads "on" as true
    assert "audit" in [command.split()[-1] for command in steps("audit")]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", on["schedule"][0]["cron"])
    assert "constraints.txt" in on["push"]["paths"]
    assert "constraints.txt" in on["pull_request"]["paths"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_workflow_may_write(name: str) -> None:
    assert yaml.safe_load(WORKFLOWS[name].read_text())["permissions"] == {"contents": "read"}
