"""Resources with data are retained, encrypted, not public, and accessible over TLS only."""

from typing import Any

import pytest

from dropbatch.adapters.s3 import PROGRESS_TAG
from tests.infra.reading import Template, of_type, statements

KEPT = ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret")

JOB_DAYS, GRACE_DAYS = 28, 2
"""A job ends this time after its creation at the latest, and its answers are collected within two days more."""


LOGICAL_IDS = {
    "AWS::S3::Bucket": {"InboxBucket", "ResultsBucket", "WorkBucket"},
    "AWS::DynamoDB::Table": {"Table"},
    "AWS::SecretsManager::Secret": {"OpenAISecret"},
    "AWS::SQS::Queue": {
        "IntakeQueue", "DispatchQueue", "CollectQueue",
        "IntakeDeadLetters", "DispatchDeadLetters", "CollectDeadLetters", "DropEventDeadLetters", "ClockDeadLetters",
    },
    "AWS::SNS::Topic": {"NotificationsTopic", "EventsTopic", "AlarmsTopic"},
    "AWS::KMS::Key": {"TopicsKey"},
}  # fmt: skip
"""The ids of the data, messages and subscriptions in existing stacks."""


@pytest.mark.parametrize("kind", LOGICAL_IDS)
def test_an_update_finds_data_and_messages_under_their_logical_ids(resources: Template, kind: str) -> None:
    """CloudFormation deletes or abandons a resource whose id is gone, and creates an empty one for a new id."""
    assert LOGICAL_IDS[kind] <= set(of_type(resources, kind))


def test_there_are_buckets_for_drops_results_and_work(resources: Template) -> None:
    assert set(of_type(resources, "AWS::S3::Bucket")) == {"InboxBucket", "ResultsBucket", "WorkBucket"}


@pytest.mark.parametrize("kind", KEPT)
def test_data_and_the_key_outlive_the_stack_unless_its_creation_failed(resources: Template, kind: str) -> None:
    for name, resource in of_type(resources, kind).items():
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate", name
        assert resource["UpdateReplacePolicy"] == "Retain", name


def test_buckets_are_encrypted_and_have_one_owner(resources: Template) -> None:
    for name, bucket in of_type(resources, "AWS::S3::Bucket").items():
        properties = bucket["Properties"]
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms"), name
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, name


def test_no_bucket_can_be_made_public(resources: Template) -> None:
    closed = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    for name, bucket in of_type(resources, "AWS::S3::Bucket").items():
        assert bucket["Properties"]["PublicAccessBlockConfiguration"] == closed, name


def test_every_bucket_aborts_unfinished_uploads(resources: Template) -> None:
    for name, bucket in of_type(resources, "AWS::S3::Bucket").items():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        aborting = [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
        assert [rule["Status"] for rule in aborting] == ["Enabled"], name
        # A rule with a prefix or a filter would not cover all uploads.
        assert not {"Prefix", "TagFilters", "ObjectSizeGreaterThan"} & aborting[0].keys(), name


def test_the_inbox_keeps_versions_and_sends_events_of_new_objects(resources: Template) -> None:
    inbox = resources["InboxBucket"]["Properties"]

    assert inbox["VersioningConfiguration"] == {"Status": "Enabled"}
    assert inbox["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_current_objects_in_the_inbox_and_the_results_never_expire(resources: Template) -> None:
    for name in ("InboxBucket", "ResultsBucket"):
        for rule in resources[name]["Properties"]["LifecycleConfiguration"]["Rules"]:
            assert not {"ExpirationInDays", "ExpirationDate"} & rule.keys()


def test_work_files_expire_only_after_the_longest_job(resources: Template) -> None:
    rules = resources["WorkBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (days,) = (rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule)

    assert days == 60
    assert days >= 2 * (JOB_DAYS + GRACE_DAYS)


def test_few_old_versions_of_frequently_written_objects_are_kept(resources: Template) -> None:
    rules = resources["ResultsBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    kept = [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule]

    assert kept == [
        {"NoncurrentDays": 90},
        {"NoncurrentDays": 1},
        {"NoncurrentDays": 1, "NewerNoncurrentVersions": 10},
    ]


def test_old_versions_of_progress_are_kept_a_day_and_nothing_else_has_its_tag(resources: Template) -> None:
    rules = resources["ResultsBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (tagged,) = [rule for rule in rules if "TagFilters" in rule]
    name, _, value = PROGRESS_TAG.partition("=")

    assert tagged["TagFilters"] == [{"Key": name, "Value": value}]
    assert tagged["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert "ExpirationInDays" not in tagged, "the newest version stays"


def test_the_table_is_recoverable_paid_by_use_and_encrypted_with_a_free_key(resources: Template) -> None:
    """DynamoDB always encrypts. An SSESpecification only changes the key to one that is billed."""
    table = resources["Table"]["Properties"]

    assert "SSESpecification" not in table
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_index_of_open_items_holds_whole_items_by_age(resources: Template) -> None:
    table = resources["Table"]["Properties"]
    (index,) = table["GlobalSecondaryIndexes"]

    assert _keys(table) == [("pk", "HASH"), ("sk", "RANGE")]
    assert index["IndexName"] == "open"
    assert _keys(index) == [("open", "HASH"), ("since", "RANGE")]
    assert index["Projection"] == {"ProjectionType": "ALL"}
    assert {definition["AttributeType"] for definition in table["AttributeDefinitions"]} == {"S"}


def _keys(keyed: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key["AttributeName"], key["KeyType"]) for key in keyed["KeySchema"]]


@pytest.mark.parametrize(
    ("kind", "policy_kind", "member"),
    [
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
    ],
)
def test_buckets_queues_and_topics_refuse_requests_without_tls(
    resources: Template, kind: str, policy_kind: str, member: str
) -> None:
    covered = []
    for policy in of_type(resources, policy_kind).values():
        refusals = [
            statement
            for statement in statements(policy["Properties"]["PolicyDocument"])
            if statement["Effect"] == "Deny"
            and statement["Principal"] == "*"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        ]
        assert refusals
        named = policy["Properties"][member]
        covered += [reference["Ref"] for reference in (named if isinstance(named, list) else [named])]

    # SQS keeps one policy for each queue, and SNS one for each topic: a second policy would replace the first.
    assert sorted(covered) == sorted(of_type(resources, kind))


def test_the_refusal_covers_a_bucket_and_the_objects_in_it(resources: Template) -> None:
    for policy in of_type(resources, "AWS::S3::BucketPolicy").values():
        bucket = policy["Properties"]["Bucket"]["Ref"]
        (refusal,) = (s for s in statements(policy["Properties"]["PolicyDocument"]) if s["Effect"] == "Deny")
        assert refusal["Action"] == "s3:*"
        assert refusal["Resource"] == [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]


def test_the_key_of_openai_is_a_placeholder_that_no_parameter_holds(resources: Template, expanded: Template) -> None:
    secret = resources["OpenAISecret"]["Properties"]
    assert secret["SecretString"] == "replace-me"
    # An update keeps the stored key because it changes no property of the secret.
    assert secret == {
        "Description": "OpenAI's API key, as plain text. While it reads replace-me, jobs wait.",
        "SecretString": "replace-me",
    }
    assert not [name for name in expanded["Parameters"] if "key" in name.lower() or "secret" in name.lower()]
