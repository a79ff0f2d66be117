"""The only folder that knows SQL. `database.models` is its public interface. It imports nothing else of the product."""
