"""The Amazon DynamoDB driver of polystore. Importing it imports no SDK."""
