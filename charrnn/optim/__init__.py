"""From gradients to updates: `optimizers.OPTIMIZERS` by name, and `schedules.rate_factor`, which
moves the learning rate.
"""
