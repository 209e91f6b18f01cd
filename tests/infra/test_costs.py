"""The cost of a stack and of its drops stays within bounds, and the documents state what is counted."""

import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import costs
from tests.infra.reading import Template, of_type

ROOT = Path(__file__).parents[2]
SCALE = (ROOT / "docs" / "scale.md").read_text()
PRICES = tomllib.loads((ROOT / "benchmarks" / "prices.toml").read_text())


@pytest.fixture(scope="module")
def stated() -> Mapping[str, float]:
    """Return the figures that docs/scale.md states. A test below compares them with what is counted now."""
    return costs.read_figures(SCALE)


@pytest.mark.parametrize("table", costs.TABLES_OF_SCALE, ids=lambda table: table.__name__)
def test_the_tables_in_scale_md_follow_from_its_figures(table: costs.Table, stated: Mapping[str, float]) -> None:
    made = table(stated)
    assert made in SCALE, f"replace the table by:\n{made}"


def test_a_drop_a_shard_and_a_poll_come_to_what_scale_md_states(stated: Mapping[str, float]) -> None:
    """A change that makes a tenth more calls states so."""
    for name, counted in costs.count().items():
        assert stated[name] == pytest.approx(counted, rel=0.1, abs=0.1), f"{name}: `make costs` counts again"


def test_an_idle_month_stays_below_its_bound(stated: Mapping[str, float]) -> None:
    assert costs.idle_month(stated)["in all"] <= costs.IDLE_MONTH_USD


def test_a_million_rows_stay_below_their_bound_with_a_month_of_storage(stated: Mapping[str, float]) -> None:
    assert costs.dollars(costs.of_drop(1_000_000, stated)) <= costs.MILLION_ROWS_USD
    assert costs.dollars(costs.of_drop(1_000_000, stated) | {"s3_gb_months": 0}) <= costs.MILLION_ROWS_USD / 5


def test_a_small_drop_stays_below_its_bound_though_it_is_the_only_one(stated: Mapping[str, float]) -> None:
    assert costs.dollars(costs.of_drop(10, stated)) <= costs.TEN_ROWS_USD


def test_working_files_are_deleted_when_a_job_ends(stated: Mapping[str, float]) -> None:
    """Results stay: the row with its answer, OpenAI's response, and a checksum of the answer."""
    most = costs.ROW_BYTES + costs.ANSWER_BYTES + 200
    assert stated["kept_bytes_a_row"] <= most


def test_a_drop_reports_no_metric_because_each_hour_of_one_costs_as_much_as_the_drop(
    stated: Mapping[str, float],
) -> None:
    assert stated["metrics_a_drop"] == 0
    assert stated["metrics_a_poll"] == 1
    hour = costs.dollars({"metric_months": 1 / 720})
    assert 3 * hour > costs.TEN_ROWS_USD


def test_every_part_of_a_use_has_a_price_and_is_in_one_service(stated: Mapping[str, float]) -> None:
    used = costs.of_drop(1, stated) | costs.of_polls(1, stated) | costs.of_month({}, stated)
    in_services = [name for names in costs.SERVICES.values() for name in names]
    assert len(in_services) == len(set(in_services))
    assert used.keys() - set(in_services) == {"key_months"}, "no stack has one by default"
    assert {*in_services, "key_months", "dashboard_months"} == PRICES.keys()


def test_every_price_has_its_source_and_its_date() -> None:
    for name, price in PRICES.items():
        assert price.keys() == {"dollars", "per", "source", "as_of"}, name
        assert re.fullmatch(r"https://aws\.amazon\.com/[\w/-]+/pricing/([\w-]+/)?", price["source"]), name
        assert re.fullmatch(r"20\d\d-\d\d", price["as_of"]), name
        assert price["dollars"] > 0, name


AWS_PRICE = re.compile(
    r"(?:\b(?:a|one|two|three|ten|thirty) (?:dollars?|cents?)|\$ ?[\d.]+|\b[\d.]+ ?(?:\$|dollars?|cents?))"
    r"\s+(?:a|per|for a|for each|each)\s+(?:month|million (?!\w*\s*tokens)|GB|key|alarm|metric|dashboard|secret)",
    re.IGNORECASE,
)
"""An amount of money for what AWS sells. OpenAI's prices are for tokens."""


def test_no_other_file_names_a_price_of_aws() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [ROOT / name for name in listed if name.endswith((".md", ".yaml", ".py", ".toml"))]
    own = {ROOT / "benchmarks" / "prices.toml", Path(__file__)}
    found = [(str(file), hit) for file in files if file not in own for hit in AWS_PRICE.findall(file.read_text())]
    assert found == []


def test_the_choices_of_a_stack_cost_what_the_operators_page_says() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([+-]\d+\.\d\d)", text, re.MULTILINE)
    assert {(name, value): cost for name, value, cost in rows} == {
        choice: f"{cost:+.2f}" for choice, cost in costs.choices().items()
    }


def test_the_page_of_costs_says_what_an_idle_month_comes_to(stated: Mapping[str, float]) -> None:
    [said] = re.findall(r"(\d\.\d\d) dollars in a month", (ROOT / "docs" / "costs.md").read_text())
    assert float(said) == round(costs.idle_month(stated)["in all"], 2)


def test_lambda_asks_each_queue_with_five_processes_because_each_has_a_maximum_concurrency(written: Template) -> None:
    """Without one, Lambda may go down to two, and the idle month would cost less than is said."""
    functions = of_type(written["Resources"], "AWS::Serverless::Function").values()
    sources = [its for each in functions for its in each["Properties"]["Events"].values() if its["Type"] == "SQS"]
    assert all("MaximumConcurrency" in its["Properties"]["ScalingConfig"] for its in sources)
    assert costs.long_polls() == len(sources) * 5 * 3 * 60 * 24
