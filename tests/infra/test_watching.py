"""Somebody is told when something is stuck, and can be told at all."""

from tests.infra.reading import Template, as_list, of_type, statements

TOPICS = ("NotificationsTopic", "EventsTopic")


def test_topics_are_encrypted_with_a_key_that_cloudwatch_may_use(resources: Template) -> None:
    """Alarms cannot publish to a topic under AWS's own key, alias/aws/sns."""
    for topic in TOPICS:
        assert resources[topic]["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["TopicsKey", "Arn"]}
    granted = [
        statement
        for statement in statements(resources["TopicsKey"]["Properties"]["KeyPolicy"])
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert [sorted(as_list(statement["Action"])) for statement in granted] == [["kms:Decrypt", "kms:GenerateDataKey*"]]


def test_alarms_may_publish_to_the_topic_that_they_name(resources: Template) -> None:
    (policy,) = (
        policy["Properties"]
        for policy in of_type(resources, "AWS::SNS::TopicPolicy").values()
        if policy["Properties"]["Topics"] == [{"Ref": "NotificationsTopic"}]
    )
    (allowed,) = (s for s in statements(policy["PolicyDocument"]) if s["Effect"] == "Allow")

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Action"] == "sns:Publish"


def test_every_role_that_tells_may_use_the_topics_key(resources: Template) -> None:
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        actions = {
            action
            for policy in role["Properties"]["Policies"]
            for statement in statements(policy["PolicyDocument"])
            for action in as_list(statement["Action"])
        }
        if "sns:Publish" in actions:
            assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions, name


def test_every_alarm_tells_people_and_says_what_to_do(resources: Template) -> None:
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "NotificationsTopic"}], name
        assert len(alarm["Properties"]["AlarmDescription"].split()) > 8, name


def test_every_dead_letter_queue_has_an_alarm(resources: Template) -> None:
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"]["Dimensions"]
        if dimension["Name"] == "QueueName"
    }

    assert watched == {
        name
        for name, queue in of_type(resources, "AWS::SQS::Queue").items()
        if "RedrivePolicy" not in queue["Properties"]
    }


def test_every_function_has_an_alarm_for_errors_and_one_for_throttles(resources: Template) -> None:
    watched = {
        (dimension["Value"]["Ref"], alarm["Properties"]["MetricName"])
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"]["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }

    functions = of_type(resources, "AWS::Lambda::Function")
    assert {(function, metric) for function in functions for metric in ("Errors", "Throttles")} <= watched


def test_a_batch_that_openai_should_long_have_ended_is_told_of(resources: Template) -> None:
    alarm = _alarm(resources, "OldestOpenBatchSeconds")

    assert alarm["Threshold"] == 26 * 3_600
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_a_second_batch_for_the_same_rows_is_told_of(resources: Template) -> None:
    alarm = _alarm(resources, "DoubleBatches")

    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_silence_of_the_poller_is_an_alarm_too(resources: Template) -> None:
    alarm = resources["SilentPollAlarm"]["Properties"]

    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"


def test_the_dashboard_leads_with_rows_and_jobs(resources: Template) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    order = [body.index(metric) for metric in ("Rows", "JobsAccepted", "BatchesOpen", "AWS/SQS", "AWS/Lambda")]

    assert order == sorted(order)


def _alarm(resources: Template, metric: str) -> Template:
    (alarm,) = (
        alarm["Properties"]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == metric
    )
    assert alarm["Namespace"] == "Dropbatch"
    # What the functions' metrics are told apart by.
    assert [dimension["Name"] for dimension in alarm["Dimensions"]] == ["service"]
    service = resources["PollFunction"]["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert alarm["Dimensions"][0]["Value"] == service
    found: Template = alarm
    return found
