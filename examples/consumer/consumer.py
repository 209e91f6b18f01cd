"""Fetches the answers of each run whose event comes: python consumer.py <queue URL> <folder for the answers>."""

import json
import sys
from pathlib import Path

import boto3


def handle(event, s3, folder):
    """Fetch a run's answers, or say that somebody is needed. An event may come twice: the file is written again."""
    print(event["event"], event["status"], event["drop"]["key"])
    if event["event"] == "ended" and event["status"] in ("succeeded", "partial"):
        bucket, prefix = event["results"]["bucket"], event["results"]["prefix"]
        objects = json.load(s3.get_object(Bucket=bucket, Key=prefix + "summary.json")["Body"])["objects"]
        key = objects.get("answers", objects["responses"])  # a ready batch file has responses only
        s3.download_file(bucket, key, str(Path(folder) / f"{event['job_id']}-{Path(key).name}"))
    else:
        print("Somebody is needed:", event["event"], event.get("held_reason") or event.get("problems") or "")


def main(queue_url, folder):
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    while messages := sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=10).get("Messages"):
        for message in messages:
            handle(json.loads(message["Body"]), s3, folder)
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main(*sys.argv[1:])
