"""Messages stay hidden longer than a function's timeout; those that fail permanently are kept and reported."""

import pytest

from tests.infra.reading import Template, of_type, statements

WORKING = ("IntakeQueue", "DispatchQueue", "CollectQueue")


def test_a_message_stays_hidden_for_six_times_as_long_as_its_function_may_run(resources: Template) -> None:
    mappings = of_type(resources, "AWS::Lambda::EventSourceMapping")
    assert len(mappings) == len(WORKING)
    for mapping in mappings.values():
        queue = resources[mapping["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]]
        function = resources[mapping["Properties"]["FunctionName"]["Ref"]]
        assert queue["Properties"]["VisibilityTimeout"] >= 6 * function["Properties"]["Timeout"]


@pytest.mark.parametrize("name", WORKING)
def test_a_message_that_fails_five_times_goes_to_a_dead_letter_queue(resources: Template, name: str) -> None:
    redrive = resources[name]["Properties"]["RedrivePolicy"]
    dead_letters = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]

    assert redrive["maxReceiveCount"] >= 5
    assert resources[dead_letters]["Type"] == "AWS::SQS::Queue"
    assert dead_letters not in WORKING


def test_each_source_has_its_own_dead_letter_queue(resources: Template) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")
    dead_letters = [
        resources[name]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for name in WORKING
    ]
    (target,) = resources["DropRule"]["Properties"]["Targets"]
    dead_letters.append(target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0])
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    dead_letters.append(schedule["Properties"]["Target"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0])

    assert sorted([*dead_letters, *WORKING]) == sorted(queues)


def test_every_message_except_ticks_is_kept_for_the_maximum_of_sqs(resources: Template) -> None:
    for name, queue in of_type(resources, "AWS::SQS::Queue").items():
        kept = 3_600 if name == "ClockDeadLetters" else 14 * 86_400  # the next tick replaces a lost one
        assert queue["Properties"]["MessageRetentionPeriod"] == kept, name


def test_queues_and_logs_are_explicitly_deleted_with_the_stack(resources: Template) -> None:
    for kind in ("AWS::SQS::Queue", "AWS::Logs::LogGroup"):
        for name, resource in of_type(resources, kind).items():
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete"), name


def test_every_queue_is_encrypted(resources: Template) -> None:
    for name, queue in of_type(resources, "AWS::SQS::Queue").items():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True, name


@pytest.mark.parametrize("name", WORKING)
def test_receivers_use_long_polling(resources: Template, name: str) -> None:
    assert resources[name]["Properties"]["ReceiveMessageWaitTimeSeconds"] == 20


def test_messages_are_delivered_one_by_one_and_only_failed_ones_again(resources: Template) -> None:
    for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values():
        assert mapping["Properties"]["BatchSize"] == 1
        assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_new_account_has_executions_left_when_all_queues_are_busy(resources: Template) -> None:
    mappings = of_type(resources, "AWS::Lambda::EventSourceMapping").values()

    assert sum(mapping["Properties"]["ScalingConfig"]["MaximumConcurrency"] for mapping in mappings) <= 8


def test_submit_reads_drops_and_batches_and_collect_reads_ended_batches(resources: Template) -> None:
    taken = {
        (mapping["Properties"]["FunctionName"]["Ref"], mapping["Properties"]["EventSourceArn"]["Fn::GetAtt"][0])
        for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    }

    assert taken == {
        ("SubmitFunction", "IntakeQueue"),
        ("SubmitFunction", "DispatchQueue"),
        ("CollectFunction", "CollectQueue"),
    }


def test_the_rule_forwards_new_objects_of_the_inbox_and_nothing_else(resources: Template) -> None:
    rule = resources["DropRule"]["Properties"]

    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [{"Ref": "InboxBucket"}]}},
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["IntakeQueue", "Arn"]}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 86_400


@pytest.mark.parametrize("queue", ["IntakeQueue", "DropEventDeadLetters"])
def test_only_the_rule_may_put_events_of_drops_into_a_queue(resources: Template, queue: str) -> None:
    (policy,) = (
        policy["Properties"]
        for policy in of_type(resources, "AWS::SQS::QueuePolicy").values()
        if policy["Properties"]["Queues"] == [{"Ref": queue}]
    )
    (allowed,) = (s for s in statements(policy["PolicyDocument"]) if s["Effect"] == "Allow")

    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["DropRule", "Arn"]}}}


def test_the_schedule_follows_its_parameter_and_keeps_failed_ticks(resources: Template) -> None:
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    properties = schedule["Properties"]

    assert properties["ScheduleExpression"] == {"Ref": "PollSchedule"}
    assert properties["Target"]["Arn"] == {"Fn::GetAtt": ["PollFunction", "Arn"]}
    assert properties["Target"]["RetryPolicy"].keys() == {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"}
