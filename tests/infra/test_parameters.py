"""Parameters are checked before anything is deployed, and a wrong value gets a sentence."""

import json
import re
from typing import Any
from zoneinfo import available_timezones

import pytest

from dropbatch.batch_api.limits import OPENAI_FILE_DAYS, Limits
from tests.infra.reading import Template, references, walk

NAMES = {
    "NotificationEmail", "PermissionsBoundary", "PollSchedule", "OpenAIBaseUrl", "LogRetentionDays", "Runtime",
    "Architecture", "AbsenceConfirmationSeconds", "RecipeWaitSeconds", "EnqueuedTokenLimits", "MaxDropGigabytes",
    "MaxLineMegabytes", "Parquet", "AlarmEmail", "MaxJobCost", "MaxMonthlyCost", "TimeZone", "OpenAIFileDays",
    "TryAtOnce", "Alarms", "CreateDashboard", "JobMetrics", "Tracing", "AlarmsTopicEncryption",
}  # fmt: skip


def test_every_parameter_has_a_default(expanded: Template) -> None:
    assert set(expanded["Parameters"]) == NAMES
    assert all("Default" in parameter for parameter in expanded["Parameters"].values())


def test_every_parameter_is_used_and_every_condition(written: Template) -> None:
    used = references({part: written[part] for part in ("Conditions", "Globals", "Resources", "Outputs")})
    used |= {
        part["Condition"] for part in walk(written["Conditions"]) if isinstance(part, dict) and "Condition" in part
    }
    used |= {
        str(its["Condition"])
        for part in ("Resources", "Outputs")
        for its in written[part].values()
        if "Condition" in its
    }

    assert NAMES | set(written["Conditions"]) <= used


def test_every_parameter_has_a_description_and_an_error_message(expanded: Template) -> None:
    for name, parameter in expanded["Parameters"].items():
        assert parameter["Description"], name
        assert parameter["ConstraintDescription"].startswith(f"{name} must be") or name == "PollSchedule", name
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys(), name


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("NotificationEmail", ""),
        ("NotificationEmail", "ann.lee+batch@mail.example.co.uk"),
        ("PermissionsBoundary", ""),
        ("PermissionsBoundary", "arn:aws:iam::123456789012:policy/team/bound"),
        ("PermissionsBoundary", "arn:aws-us-gov:iam::aws:policy/PowerUserAccess"),
        ("PollSchedule", "rate(1 minute)"),
        ("PollSchedule", "rate(15 minutes)"),
        ("PollSchedule", "rate(2 minutes)"),
        ("AlarmEmail", ""),
        ("AlarmEmail", "ops@example.com"),
        ("TimeZone", "UTC"),
        ("TimeZone", "America/Argentina/Buenos_Aires"),
        ("OpenAIBaseUrl", "https://api.openai.com/v1"),
        ("OpenAIBaseUrl", "http://127.0.0.1:4580/v1"),
        ("OpenAIBaseUrl", "http://localhost:4580/v1"),
        ("OpenAIBaseUrl", "http://localhost"),
        ("OpenAIBaseUrl", "https://eu.api.openai.com/v1"),
        ("EnqueuedTokenLimits", ""),
        ("EnqueuedTokenLimits", "gpt-6-luna=2000000,gpt-5.6*=500000"),
    ],
)
def test_a_valid_value_is_accepted(expanded: Template, parameter: str, value: str) -> None:
    assert re.fullmatch(expanded["Parameters"][parameter]["AllowedPattern"], value)


def test_every_time_zone_is_accepted(expanded: Template) -> None:
    pattern = re.compile(expanded["Parameters"]["TimeZone"]["AllowedPattern"])
    assert [zone for zone in available_timezones() if not pattern.fullmatch(zone)] == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("NotificationEmail", "ann"),
        ("NotificationEmail", "ann@example.com, bob@example.com"),
        ("NotificationEmail", "ann@localhost"),
        ("PermissionsBoundary", "bound"),
        ("PermissionsBoundary", "arn:aws:iam::123456789012:role/bound"),
        ("TimeZone", ""),
        ("TimeZone", "Central European Time"),
        ("TimeZone", "+01:00"),
        ("TimeZone", "../etc/passwd"),
        ("PollSchedule", "1 minute"),
        ("PollSchedule", "rate(1 minutes)"),
        ("PollSchedule", "rate(0 minutes)"),
        ("PollSchedule", "rate(16 minutes)"),
        ("PollSchedule", "rate(1 hour)"),
        ("PollSchedule", "cron(0/5 8-18 ? * MON-FRI *)"),
        ("AlarmEmail", "ops"),
        ("OpenAIBaseUrl", "api.openai.com/v1"),
        ("OpenAIBaseUrl", "ftp://api.openai.com"),
        ("OpenAIBaseUrl", "http://api.openai.com/v1"),
        ("OpenAIBaseUrl", "http://10.0.0.5:8000/v1"),
        ("OpenAIBaseUrl", "http://localhost.example.com/v1"),
        ("OpenAIBaseUrl", "http://127.0.0.1@example.com/v1"),
        ("OpenAIBaseUrl", "http://localhost:80@example.com/v1"),
        ("OpenAIBaseUrl", "https://user:password@example.com/v1"),
        ("OpenAIBaseUrl", "https://api.openai.com/v1?key=1"),
        ("OpenAIBaseUrl", ""),
    ],
)
def test_an_invalid_value_is_refused(expanded: Template, parameter: str, value: str) -> None:
    assert not re.fullmatch(expanded["Parameters"][parameter]["AllowedPattern"], value)


def test_the_defaults_are_right_for_a_real_account(expanded: Template) -> None:
    defaults = {name: str(parameter["Default"]) for name, parameter in expanded["Parameters"].items()}

    assert defaults["Runtime"] == "python3.13"
    assert defaults["Architecture"] == "arm64"
    assert defaults["OpenAIBaseUrl"] == "https://api.openai.com/v1"
    assert defaults["PollSchedule"] == "rate(1 minute)"
    assert defaults["Parquet"] == "disabled"
    assert (defaults["AbsenceConfirmationSeconds"], defaults["RecipeWaitSeconds"]) == ("600", "120")


def test_every_parameter_is_in_a_group_of_the_questions_that_the_console_asks(written: Template) -> None:
    groups = written["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(NAMES)


def test_what_costs_money_beside_the_essential_is_off_by_default(expanded: Template) -> None:
    defaults = {name: parameter["Default"] for name, parameter in expanded["Parameters"].items()}
    assert {defaults[name] for name in ("JobMetrics", "Tracing", "AlarmsTopicEncryption")} == {"disabled"}
    assert (defaults["Alarms"], defaults["CreateDashboard"]) == ("essential", "enabled")


def test_every_runtime_that_may_be_chosen_can_load_every_layer(expanded: Template) -> None:
    """Wheels are built for glibc 2.28; AWS's python3.11 has 2.26."""
    assert set(expanded["Parameters"]["Runtime"]["AllowedValues"]) == {"python3.12", "python3.13", "python3.14"}


def test_token_limits_leave_room_in_an_environment_of_four_kilobytes(expanded: Template, resources: Template) -> None:
    longest = expanded["Parameters"]["EnqueuedTokenLimits"]["MaxLength"]
    variables = resources["PollFunction"]["Properties"]["Environment"]["Variables"]
    bytes_of = {"AWS::SQS::Queue": 130, "AWS::S3::Bucket": 63, "AWS::SNS::Topic": 130, "AWS::DynamoDB::Table": 100}

    def length(value: Any) -> int:
        name = next(iter(references(value)), "")
        allowed = expanded["Parameters"].get(name, {}).get("AllowedValues")
        if allowed:
            return max(map(len, map(str, allowed)))
        return 40 if name in NAMES or not name else bytes_of.get(resources.get(name, {}).get("Type"), 150)

    others = sum(
        len(name) + length(value) for name, value in variables.items() if value != {"Ref": "EnqueuedTokenLimits"}
    )
    assert longest + others <= 4_096


def test_a_drop_that_may_cost_more_than_a_few_dollars_waits_for_approval(expanded: Template) -> None:
    parameters = expanded["Parameters"]

    assert (parameters["MaxJobCost"]["Type"], parameters["MaxJobCost"]["Default"]) == ("Number", 25)
    assert (parameters["MaxMonthlyCost"]["Type"], parameters["MaxMonthlyCost"]["Default"]) == ("Number", 500)


def test_files_at_openai_may_have_the_lifetimes_that_openai_takes(expanded: Template) -> None:
    days = expanded["Parameters"]["OpenAIFileDays"]

    assert (days["MinValue"], days["Default"], days["MaxValue"]) == (1, OPENAI_FILE_DAYS, 2_592_000 // 86_400)


def test_the_console_is_the_one_of_the_partition(expanded: Template) -> None:
    link = json.dumps(expanded["Outputs"]["DashboardLink"])
    for console in ("console.aws.amazon.com", "console.amazonaws.cn", "console.amazonaws-us-gov.com"):
        assert console in link


def test_the_defaults_bound_a_drop_as_the_package_does(expanded: Template) -> None:
    defaults = {name: parameter["Default"] for name, parameter in expanded["Parameters"].items()}

    assert defaults["MaxDropGigabytes"] * 10**9 == Limits().drop_bytes
    assert defaults["MaxLineMegabytes"] << 20 == Limits().line_bytes
    assert expanded["Parameters"]["MaxLineMegabytes"]["MaxValue"] << 20 <= Limits().line_bytes


def test_the_outputs_have_everything_that_a_user_needs(expanded: Template) -> None:
    values = [output["Value"] for output in expanded["Outputs"].values()]

    wanted = (
        "InboxBucket", "ResultsBucket", "WorkBucket", "Table", "NotificationsTopic", "EventsTopic", "AlarmsTopic",
        "IntakeQueue", "DispatchQueue", "CollectQueue", "SubmitFunction", "PollFunction", "CollectFunction",
    )  # fmt: skip
    for name in wanted:
        assert {"Ref": name} in values
    assert {"Fn::GetAtt": ["OpenAISecret", "Id"]} in values
