"""The lean wire: DynamoDB's protocol over sockets of its own; from botocore only the identity."""
