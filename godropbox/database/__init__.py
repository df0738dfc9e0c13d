"""SQL: ``sqltypes`` turns values into literals, ``sqlbuilder`` objects into statements."""
