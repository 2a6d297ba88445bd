"""The product's worker without the SDK's workflow sandbox, to measure what the sandbox costs; never for production."""

import asyncio
import os
import sys
from functools import partial

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import worker

if __name__ == "__main__":
    worker.__dict__["Worker"] = partial(Worker, workflow_runner=UnsandboxedWorkflowRunner())
    asyncio.run(worker.main())
    sys.stdout.flush()
    os._exit(0)
