"""What needs the AWS SDKs: the app on Bedrock AgentCore Runtime. The only place that imports them."""
