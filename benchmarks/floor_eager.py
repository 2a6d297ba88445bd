"""Measure the second floor, for information: that of `floor.py` without the SDK's sandbox.

Its activity is executed eagerly, like that of `floor.py` where the server allows it.
"""

from temporalio.worker import UnsandboxedWorkflowRunner

from benchmarks.floor import serve_and_exit

QUEUE = "benchmark-floor-eager"


if __name__ == "__main__":
    serve_and_exit(QUEUE, workflow_runner=UnsandboxedWorkflowRunner(), disable_eager_activity_execution=False)
