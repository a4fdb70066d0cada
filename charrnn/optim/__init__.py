"""From gradients to updates: `optimizers.OPTIMIZERS` by name, `schedules.rate_factor`, which moves
the learning rate, and `updates.sizes`, how large updates are.
"""
