"""Delta and Iceberg tables behind one small protocol."""
