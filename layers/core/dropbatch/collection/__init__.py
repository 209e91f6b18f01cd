"""How a batch's answers become results: fetched, judged row by row, written. Nothing here calls DynamoDB or SQS."""
