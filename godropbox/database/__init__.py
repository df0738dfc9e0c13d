"""SQL: ``sqltypes`` turns values into literals, ``sqlbuilder`` builds statements."""
