"""The only place that knows SQL. `database.models` is its public door; nothing here imports the rest of the product."""
