"""The template in two forms: as written, and as SAM's translator expands it for CloudFormation."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.infra.reading import Loader, Template

ROOT = Path(__file__).parents[2]

EXPAND = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

print(json.dumps(Translator({}, Parser()).translate(json.load(sys.stdin), parameter_values={})))
"""
"""A program for the environment of aws-sam-cli, which has the translator."""


@pytest.fixture(scope="session")
def source() -> str:
    return (ROOT / "template.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def written(source: str) -> Template:
    template: Template = yaml.load(source, Loader=Loader)
    return template


@pytest.fixture(scope="session")
def expanded(written: Template) -> Template:
    """Return the template that CloudFormation deploys, with event sources, schedules and layers expanded."""
    template = json.loads(json.dumps(written))
    for resource in template["Resources"].values():
        # `sam deploy` puts these there after it has uploaded the builds.
        for member in ("CodeUri", "ContentUri"):
            if member in resource.get("Properties", {}):
                resource["Properties"][member] = "s3://bucket/key"
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    done = subprocess.run(
        [ROOT / ".local/sam/bin/python", "-c", EXPAND],
        input=json.dumps(template),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert done.returncode == 0, done.stderr
    result: Template = json.loads(done.stdout)
    return result


@pytest.fixture(scope="session")
def resources(expanded: Template) -> Template:
    found: Template = expanded["Resources"]
    return found
