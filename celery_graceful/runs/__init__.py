"""The life of runs across executions: admission, transitions, rescue, what operators do."""
