"""Who runs the items of a batch: one engine a file; ``mvcap.plugins`` lists them.

An engine is a class whose constructor takes (workers, scheduler) and whose ``run(queue, settings, progress)`` returns
when no item of the queue is left to it. Items are taken and ended by ``mvcap.batching.worker.attempt`` only.
"""
